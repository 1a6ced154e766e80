"""The statistics behind every claim: intervals over seeds and problems, paired tests, power, pass@k.

Two levels of variance are kept apart: problems (how well one model was measured) and training seeds (how much the
recipe varies). Array names carry their axes: R runs, T tasks, P problems. Everything here is NumPy, SciPy and the
standard library; a seed fixes every draw.
"""

from rlpath.core.stats.intervals import (
    interval_over_seeds,
    mean_over_problems,
    mean_pass_at_k,
    pass_at_k,
    t_interval,
    wilson,
)
from rlpath.core.stats.levels import Difference, paired_difference, two_level_difference, two_level_mean
from rlpath.core.stats.paired import (
    EXACT_UP_TO,
    detectable_by_sign_flip,
    holm,
    mcnemar,
    minimal_detectable_effect,
    required_n,
    sign_flip,
)
from rlpath.core.stats.quantiles import chi_square_quantile, normal_quantile, t_cdf, t_power, t_quantile
from rlpath.core.stats.runs import (
    BOOTSTRAP_FROM,
    difference_of_runs,
    iqm,
    mean_band,
    paired_difference_of_runs,
    performance_profile,
    permutation,
    prediction_half_width,
    probability_of_improvement,
    smallest_p,
    stratified_bootstrap,
)
from rlpath.core.stats.values import Interval, cluster_error, cluster_means, effective_clusters

__all__ = [
    "BOOTSTRAP_FROM",
    "EXACT_UP_TO",
    "Difference",
    "Interval",
    "chi_square_quantile",
    "cluster_error",
    "cluster_means",
    "detectable_by_sign_flip",
    "difference_of_runs",
    "effective_clusters",
    "holm",
    "interval_over_seeds",
    "iqm",
    "mcnemar",
    "mean_band",
    "mean_over_problems",
    "mean_pass_at_k",
    "minimal_detectable_effect",
    "normal_quantile",
    "paired_difference",
    "paired_difference_of_runs",
    "pass_at_k",
    "performance_profile",
    "permutation",
    "prediction_half_width",
    "probability_of_improvement",
    "required_n",
    "sign_flip",
    "smallest_p",
    "stratified_bootstrap",
    "t_cdf",
    "t_interval",
    "t_power",
    "t_quantile",
    "two_level_difference",
    "two_level_mean",
    "wilson",
]
