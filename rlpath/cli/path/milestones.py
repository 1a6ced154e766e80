"""The milestones in order: what earns each, how long that takes, and a question that a reader should then answer.

A milestone with a finder is ticked by runs. One without is a page to read and to write again from a blank file: no run
shows that, so it is never ticked, and its question is the test. Minutes were measured on the reference machine of
`rlpath.runs.speed`, two cores beside other work.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.cli.path import evidence
from rlpath.cli.path.evidence import Finder


@dataclass(frozen=True, slots=True)
class Milestone:
    """One step of the path. `minutes` on the reference machine, `needs` the keys of the milestones before it."""

    key: str
    part: str
    title: str
    command: str
    minutes: float
    question: str
    answer: str
    finder: Finder | None = None
    needs: tuple[str, ...] = ()


TRUNK, RL, LANGUAGE, METHOD = "The trunk", "Reinforcement learning", "Post-training", "Evaluation and method"
PARTS = (TRUNK, RL, LANGUAGE, METHOD)

MILESTONES = (
    Milestone(
        "autodiff", TRUNK, "Reverse-mode autodiff and an MLP from a blank file",
        "python -m rlpath.trunk.autodiff && python -m rlpath.trunk.mlp", 1,
        "Why does the gradient go backwards through the graph, and not forwards?",
        "A loss is one number and the parameters are many. Backwards, one pass gives the derivative of that one number "
        "with respect to all of them; forwards, one pass gives the derivatives with respect to one parameter.",
    ),
    Milestone(
        "data", TRUNK, "Training, validation and overfitting",
        "python -m rlpath.trunk.char_lm $RLPATH_DATA/text/names.txt", 2,
        "The training loss still falls and the validation loss rises. What happened, and what are three cures?",
        "The model fits what is particular to its training examples. More data, weight decay or dropout, a smaller "
        "model, or stopping where the validation loss is lowest.",
    ),
    Milestone(
        "tokenizer", TRUNK, "A tokenizer, and one way in which it hurts",
        "python -m rlpath.trunk.bpe $RLPATH_DATA/text/tinyshakespeare.txt", 1,
        "Why do models add better when each digit is a token of its own?",
        "Merges cut numbers of one length differently, so that the same digit stands in many tokens and carries no "
        "fixed place value. With single digits every column of a sum looks alike.",
    ),
    Milestone(
        "transformer", TRUNK, "A transformer, positions and exact attention in tiles",
        "python -m rlpath.trunk.attention", 2,
        "Why does attention need positions, and what does FlashAttention save?",
        "Without positions attention treats its input as a set: permuted tokens give permuted outputs. FlashAttention "
        "gives the same result, but never writes the T × T scores to memory: it saves traffic, not operations.",
    ),
    Milestone(
        "loss-curve", TRUNK, "A language model of your own, pretrained from bytes",
        "python recipes/pretrain_tiny.py", 15,
        "Why is held-out text measured in bits a byte and not in nats a token?",
        "Loss a token depends on the tokenizer: longer tokens are fewer and harder to guess. Bytes are the same for "
        "all of them.",
        evidence.loss_curve,
    ),
    Milestone(
        "pipeline", TRUNK, "The whole pipeline once: pretraining, SFT, GRPO",
        "python recipes/tiny_path.py --seeds 0", 25,
        "What does each stage change: pretraining, SFT, RL?",
        "Pretraining learns what text looks like. SFT learns the form of a conversation from answers that are shown. "
        "RL raises the probability of those of the model's own answers that a verifier accepts.",
        evidence.pipeline, ("loss-curve",),
    ),
    Milestone(
        "cost", TRUNK, "What training costs here",
        "rlpath estimate pretrain --params 10M --tokens 200M", 1,
        "A model has N parameters and reads D tokens. How many operations is that, and what is MFU?",
        "About 6 N D: two for each parameter and token forwards, four backwards. MFU is the share of the machine's "
        "peak rate that these needed operations reach.",
    ),
    Milestone(
        "rl-0", RL, "RL-0: one agent that learns",
        "python recipes/first_agent.py", 2,
        "What is the return of an episode, and why is it compared with an untrained agent's?",
        "The sum of its rewards. Some tasks pay even an agent that acts at random, so only the difference is learned.",
        evidence.first_agent,
    ),
    Milestone(
        "rl-1", RL, "RL-1: Q-learning at the optimum of dynamic programming",
        "python recipes/tabular.py --env-id FrozenLake-v1 --algorithm q_learning --seeds 30", 0.4,
        "Why is Q-learning off-policy, and SARSA not?",
        "Q-learning's target takes the best next action, whatever was done next: it learns of the greedy policy while "
        "another one acts. SARSA's target takes the action that was taken, and so learns of the acting policy.",
        evidence.q_learning, ("rl-0",),
    ),
    Milestone(
        "rl-2", RL, "RL-2: PPO on three seeds at least",
        "python recipes/ppo.py --seeds 3", 3,
        "What does PPO's clip prevent?",
        "That an update on old samples moves a probability further once its ratio has left 1 ± ε in the direction of "
        "its advantage: there the gradient is zero. It bounds the incentive, not the ratio itself.",
        evidence.ppo_over_seeds, ("rl-1",),
    ),
    Milestone(
        "ablation", RL, "RL-2: an ablation, one detail at a time",
        "python recipes/ablate_ppo.py", 6,
        "Two arms differ by 20 points on one seed each. What do you know?",
        "Nearly nothing: seeds of the same arm differ as much. Only several seeds, paired where they can be, tell the "
        "detail's effect from the seed's.",
        evidence.ablation, ("rl-2",),
    ),
    Milestone(
        "sft", LANGUAGE, "SFT, measured before and after",
        "python recipes/sft_gsm8k.py --data arithmetic:add-1x2 --max-completion-length 24", 20,
        "On which tokens does SFT's loss count, and why?",
        "On the answer's, not the prompt's: the model is to answer, not to learn to ask.",
        evidence.sft,
    ),
    Milestone(
        "dpo", LANGUAGE, "DPO, measured before and after",
        "python recipes/dpo.py", 53,
        "What plays the reward's part in DPO?",
        "β times the logarithm of policy over reference: the policy that is best for a reward under a KL penalty fixes "
        "that reward up to a term of the prompt, which cancels in a pair. So no reward model is trained.",
        evidence.dpo, ("sft",),
    ),
    Milestone(
        "grpo", LANGUAGE, "RL-3: GRPO with a verifiable reward and a baseline",
        "python recipes/grpo_arithmetic.py", 60,
        "What takes the place of the critic in GRPO, and when does a group teach nothing?",
        "The mean reward of the other answers to the same prompt. Where all answers of a group have the same reward, "
        "every advantage is zero.",
        evidence.grpo, ("sft",),
    ),
    Milestone(
        "lies", METHOD, "Three ways in which an evaluation lies, shown",
        "rlpath eval --show-lies --out runs/lies", 20,
        "The best of ten seeds scores 4 points above the baseline's one. What is wrong?",
        "The best of ten draws is above the mean of ten even where nothing differs. Report all seeds, or choose on "
        "validation problems and measure on others.",
        evidence.lies,
    ),
    Milestone(
        "evaluation", METHOD, "An evaluation over three seeds against a baseline of the same size",
        "python recipes/tiny_path.py", 75,
        "Why does an interval over problems alone say too little of a method?",
        "It says how this model would do on other problems. Another training seed gives another model, and that "
        "variance belongs to the method.",
        evidence.evaluation, ("pipeline",),
    ),
    Milestone(
        "prereg", METHOD, "A plan written down before the run",
        "rlpath prereg new --hypothesis 'GRPO raises accuracy on held-out sums.' --models grpo_arithmetic --baseline "
        "smollm2-135m-instruct --tasks arithmetic:add-1x2 --n 150 --out recipes/grpo_arithmetic.prereg.toml && "
        "python recipes/grpo_arithmetic.py", 60,
        "What may still be reported that was not planned?",
        "Anything, named as found afterwards. It suggests the next plan; it does not confirm this one.",
        evidence.preregistered,
    ),
    Milestone(
        "log", METHOD, "A dated entry in the research log",
        "rlpath log RUN --append-to LOG.md", 1,
        "Why write what was learned when it is in the results?",
        "Results say what happened. What it changes in what you believe, and what you would do next, is in no file "
        "and is gone in a month.",
        evidence.log_entry, ("rl-0",),
    ),
)  # fmt: skip
