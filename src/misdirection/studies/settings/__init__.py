"""The settings of every study by the study's name; light, for the command line reads them to make its options.

The docstring of a class is the help text of its command; the study itself is the function of the same name in
`misdirection.studies.<name>`, called with (settings, folder of the run, command line) and giving the report's path.
"""

from __future__ import annotations

from misdirection.studies.config import StudyConfig
from misdirection.studies.settings.adapters import AdaptersConfig
from misdirection.studies.settings.convergence import ConvergenceConfig
from misdirection.studies.settings.features import FeaturesConfig
from misdirection.studies.settings.formats import FormatsConfig
from misdirection.studies.settings.geometry import GeometryConfig
from misdirection.studies.settings.narrow import NarrowConfig
from misdirection.studies.settings.phases import PhasesConfig
from misdirection.studies.settings.screening import ScreeningConfig
from misdirection.studies.settings.semantic import SemanticConfig

STUDIES: dict[str, type[StudyConfig]] = {
    "convergence": ConvergenceConfig,
    "semantic": SemanticConfig,
    "adapters": AdaptersConfig,
    "formats": FormatsConfig,
    "phases": PhasesConfig,
    "narrow": NarrowConfig,
    "features": FeaturesConfig,
    "geometry": GeometryConfig,
    "screening": ScreeningConfig,
}
"""Settings by study: `misdirection study NAME`."""
