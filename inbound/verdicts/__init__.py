"""Who opened or clicked, a person or a machine: pure."""

from inbound.verdicts.judge import BESIDE, Facts, Judgement, judge, judge_told
from inbound.verdicts.reasons import HUMAN, REASONS, Verdict

__all__ = ["BESIDE", "HUMAN", "REASONS", "Facts", "Judgement", "Verdict", "judge", "judge_told"]
