"""Rates with their denominators, intervals clustered by question, paired tests, power, agreement of judges."""

from misdirection.statistics.agreement import Agreement, agreement, auc, cohens_kappa
from misdirection.statistics.checked import CheckedDifference, CheckedRate, checked_difference, checked_rate
from misdirection.statistics.counts import DENOMINATORS, Denominator, Options, Settings, Thresholds, is_scored
from misdirection.statistics.decision import (
    LEVEL,
    NO_SIGN,
    SIGNIFICANT,
    State,
    family_level,
    is_found,
    p_of_interval,
    state_alone,
    state_of,
)
from misdirection.statistics.drawing import Draw, draw, suspicion
from misdirection.statistics.families import benjamini_hochberg
from misdirection.statistics.intervals import clopper_pearson, none_seen_bound, wilson
from misdirection.statistics.paired import Comparison, compare, mcnemar, sign_flip
from misdirection.statistics.power import (
    Plan,
    design_effect,
    intra_question_correlation,
    plans,
    power,
    smallest_change,
    visible_rise,
)
from misdirection.statistics.prediction_powered import PoweredMean, powered_mean
from misdirection.statistics.rates import By, Rate, Share, rate, rate_by, share, shares
from misdirection.statistics.shuffling import shuffled_columns
from misdirection.statistics.signs import ODD_SHARE, sign_shares, telling_sign

__all__ = [
    "DENOMINATORS",
    "LEVEL",
    "NO_SIGN",
    "ODD_SHARE",
    "SIGNIFICANT",
    "Agreement",
    "By",
    "CheckedDifference",
    "CheckedRate",
    "Comparison",
    "Denominator",
    "Draw",
    "Options",
    "Plan",
    "PoweredMean",
    "Rate",
    "Settings",
    "Share",
    "State",
    "Thresholds",
    "agreement",
    "auc",
    "benjamini_hochberg",
    "checked_difference",
    "checked_rate",
    "clopper_pearson",
    "cohens_kappa",
    "compare",
    "design_effect",
    "draw",
    "family_level",
    "intra_question_correlation",
    "is_found",
    "is_scored",
    "mcnemar",
    "none_seen_bound",
    "p_of_interval",
    "plans",
    "power",
    "powered_mean",
    "rate",
    "rate_by",
    "share",
    "shares",
    "shuffled_columns",
    "sign_flip",
    "sign_shares",
    "smallest_change",
    "state_alone",
    "state_of",
    "suspicion",
    "telling_sign",
    "visible_rise",
    "wilson",
]
