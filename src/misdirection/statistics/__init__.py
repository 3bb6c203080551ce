"""Rates with their denominators, intervals clustered by question, paired tests, power, agreement of judges."""

from misdirection.statistics.agreement import Agreement, agreement, auc, cohens_kappa
from misdirection.statistics.counts import DENOMINATORS, Denominator, Options, Settings, Thresholds, is_scored
from misdirection.statistics.intervals import clopper_pearson, none_seen_bound, wilson
from misdirection.statistics.paired import Comparison, benjamini_hochberg, compare, mcnemar, sign_flip
from misdirection.statistics.power import Plan, design_effect, intra_question_correlation, plans, power, smallest_change
from misdirection.statistics.rates import By, Rate, Share, rate, rate_by, share, shares
from misdirection.statistics.shuffling import shuffled_columns
from misdirection.statistics.signs import ODD_SHARE, sign_shares, telling_sign

__all__ = [
    "DENOMINATORS",
    "ODD_SHARE",
    "Agreement",
    "By",
    "Comparison",
    "Denominator",
    "Options",
    "Plan",
    "Rate",
    "Settings",
    "Share",
    "Thresholds",
    "agreement",
    "auc",
    "benjamini_hochberg",
    "clopper_pearson",
    "cohens_kappa",
    "compare",
    "design_effect",
    "intra_question_correlation",
    "is_scored",
    "mcnemar",
    "none_seen_bound",
    "plans",
    "power",
    "rate",
    "rate_by",
    "share",
    "shares",
    "shuffled_columns",
    "sign_flip",
    "sign_shares",
    "smallest_change",
    "telling_sign",
    "wilson",
]
