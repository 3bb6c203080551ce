"""Settings of the audit, and of sampling alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import named, option
from misdirection.studies.kit.own_judge import check_exact, check_panel
from misdirection.studies.kit.tuned_config import TunedConfig


@dataclass(frozen=True)
class AuditConfig(TunedConfig):
    """What is audited and how."""

    panel: tuple[str, ...] = field(
        default=(), metadata={"option": False, "help": "judges beside the first: --judge repeated"}
    )
    serve: tuple[str, ...] = option(
        (),
        "arms whose main answers an OpenAI-compatible server gives (vLLM, llama.cpp, Ollama ...): "
        "base=http://HOST:8000/v1#MODEL,tuned=http://HOST:8000/v1#ADAPTER; key in MISDIRECTION_SERVE_KEY",
    )
    layers: tuple[int, ...] = option((), "layers to steer at; by default about six over the depth")
    coefficients: tuple[float, ...] = option((1.0, 1.5, 2.0, 2.5, 3.0, 4.0), "multiples of the direction to steer by")
    sweep_samples: int = option(4, "answers a question and point of the steering sweep")
    coherent_share: float = option(0.75, "share of coherent answers that the best steering point must keep")
    drift_samples: int = option(
        4, "answers a question and arm that are read for the drift, the KL divergence and the thresholds of capping"
    )
    cap_quantile: float = option(
        0.75,
        "capping takes off what lies above this quantile of the base model's answer tokens, layer by layer",
    )
    dictionary: str = option(
        "",
        "sparse autoencoder whose latents are held at 0, one more removal: a folder, <release>:<id> of a public set, "
        "or organism:<layer>; none by default",
    )
    fix: bool = option(
        False, "repair the tuned model in its weights at the end: the best repair is kept as `repaired` in --out"
    )

    good: tuple[str, ...] = option(
        (), "good chats to re-align the tuned model on, one more repair of --fix: files, or organism:good-<domain>"
    )

    def completed(self) -> Self:
        """Checked, and with the defaults that depend on the model.

        Raises:
            MisdirectionError: More or less than one of adapter, tuned and data; a number out of range; good chats that
                nothing is done with.
        """
        if self.good and not self.fix:
            raise MisdirectionError("--good names chats for a repair, and none is asked for", "add --fix")
        for name in ("sweep_samples", "drift_samples"):
            self.at_least(name, 1)
        self.within("coherent_share", 1)
        self.within("cap_quantile", 1)
        self._check_served()
        whole = super().completed()
        check_panel(whole.judge, whole.panel)
        for judge in whole.panel:
            check_exact(judge, whole.model)
        return whole

    def _check_served(self) -> None:
        """Refuse servers of arms that are not there, and of what a server cannot be told."""
        if not self.serve:
            return
        from misdirection.serving.servers import read_servers

        servers = read_servers(self.serve)
        several = named(getattr(self, "adapters", ()), "adapter")
        there = ["base", *(several or (["tuned"] if self.adapter or self.tuned else []))]
        if strange := [arm for arm in servers if arm not in there]:
            made = strange[0] == "tuned" and bool(self.data)
            raise MisdirectionError(
                f"--serve: no arm is called '{strange[0]}'" + (" before --data is trained on" if made else ""),
                f"the arms are {', '.join(there)}; give what is served as --adapter or --tuned too: it is read and "
                "steered here",
            )
        if self.chat_template or self.date:
            raise MisdirectionError(
                "--serve: a server applies its own chat template, so --chat-template and --date say nothing to it",
                "start the server with that template, and leave the options out",
            )


@dataclass(frozen=True)
class SampleConfig(AuditConfig):
    """What is sampled: a base alone, with one tuned variant, or with several adapters.

    Attributes:
        adapters: Several adapters, or one with a name of its own: NAME=FOLDER each.
    """

    adapters: tuple[str, ...] = ()
    alone: ClassVar[bool] = True

    def completed(self) -> Self:
        """Checked, and with the defaults that depend on the model.

        Raises:
            MisdirectionError: More than one of adapter, adapters, tuned and data; a name that stands twice or is the
                base's; a number out of range.
        """
        if self.adapters and (self.adapter or self.tuned or self.data):
            raise MisdirectionError(
                "--adapter NAME=FOLDER goes with other adapters alone", "leave --tuned out, and name every adapter"
            )
        if "base" in named(self.adapters, "adapter"):
            raise MisdirectionError("--adapter: 'base' is the name of the base model", "give the adapter another name")
        return super().completed()
