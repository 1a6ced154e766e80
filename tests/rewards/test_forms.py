"""Ways to state an answer, right and wrong, each on several gold answers: "@" is the gold, "#O" another answer."""

from __future__ import annotations

import pytest

from rlpath.rewards import ChoiceVerifier, MathVerifier, NumberVerifier

maths, number, choose = MathVerifier(), NumberVerifier(), ChoiceVerifier()

GOLDS = [
    (r"\frac{3}{4}", "12"), ("x^2+1", "x^2-1"), ("7", r"\frac{7}{2}"), (r"(-\infty, 2]", "[2, 5)"),
    ("(1, 2)", "(2, 1)"),
    (r"\text{Evelyn}", r"\text{Carla}"), (r"\text{(C)}", r"\text{(D)}"), ("1, 2, 3", "4"), (r"3\sqrt{2}", r"2\sqrt{3}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "5"), ("y = 2x + 1", "y = x"), (r"90^\circ", r"45^\circ"), ("2k+2", "6"),
]  # fmt: skip
MATHS_RIGHT = [
    "\\boxed{@}", "$\\boxed{@}$.", "The final answer is \\boxed{@}", "So the answer is $@$.",
    "Hence the answer is **$@$**.", "Therefore, the final answer is:\n\n$$\\boxed{@}$$", "\\[\n\\boxed{@}\n\\]",
    "We get $\\boxed{@}$, as required.", "Answer: $\\boxed{@}$", "The answer is: $@$", "The correct answer is $@$.",
    "the answer is \\(@\\)", "\\boxed{ @ }", "<think>hmm, maybe 0</think>\n\nThe answer is $\\boxed{@}$.",
    "**Final Answer:** \\boxed{@}", "Final answer: $@$.", "答案是 $@$。", "Ответ: $@$.", "Die Antwort ist $@$.",
    "La respuesta es $@$.", "La réponse est $@$.", "Thus, $\\boxed{@}$ is the answer.", "$@$", "\\(@\\)",
    "Therefore $\\boxed{@}$.\n\nLet me double-check this. Yes, it is right.", "#### $@$", "The result is $@$.",
    "My final answer is $@$.",
]  # fmt: skip
MATHS_WRONG = [
    "The answer is not $@$.", "\\boxed{@} or \\boxed{#O}", "\\boxed{@}, or maybe $#O$", "The answer is $@$ or $#O$.",
    "\\boxed{\\text{not }@}", "-\\boxed{@}", "2\\boxed{@}", "\\boxed{@}^2", "\\boxed{@} is wrong.",
    "The answer is $@$. No, wait, it is $#O$.", "The answer is $@$. Actually, the answer is $#O$.", "\\boxed{#O}",
    "I first got \\boxed{@} but the answer is \\boxed{#O}.", "\\boxed{@ \\text{ or } #O}",
    "\\boxed{@ \\text{ and then some}}", "If the answer is $@$, then we have a contradiction.",
    "<think>The answer is \\boxed{@}</think>", "The answer isn't $@$.", "Is the answer $@$?",
    "The wrong answer is $@$.", "The answer is anything but $@$.", "\\boxed{@}\n\n\\boxed{#O}",
    "Answer: $@$\nAnswer: $#O$", "The answer is $#O$, not $@$.", "One might think the answer is $@$.",
    "~~\\boxed{@}~~", "\\boxed{@}. Just kidding, it's $#O$.", "Ответ: $@$ или $#O$", "答案是 $@$ 或 $#O$",
    "Die Antwort ist $@$ oder $#O$.", "La réponse n'est pas $@$.", "答案不是 $@$", "Ответ не $@$.",
    "Either $@$ or $#O$.", "$@$, unless $#O$.",
]  # fmt: skip
NUMBER_RIGHT = [
    "@", "#### @", "The answer is @.", "The answer is @ apples.", "There are @ apples.", "In total, @ apples.",
    "So she has @ apples left.", "\\boxed{@}", "\\boxed{@\\text{ apples}}", "**@ apples**", "Answer: @ apples",
    "Thus, the total is @ apples.", "$@$", "The answer is $@$.", "The answer is $\\boxed{@}$.", "<answer>@</answer>",
    "<answer>@ apples</answer>", "So 2 + 2 = 4, and the final answer is @.", "Final answer: **@**",
    "He needs @ apples.", "#### @ apples", "Therefore, they need @ apples in all.", "It takes @ apples to finish.",
    "答案：@", "答案是@。", "Ответ: @.", "Die Antwort ist @.", "La respuesta es @.", "La réponse est @.", "x = @",
    "Total = @ apples", "@ apples", "That makes @ apples altogether!", "The answer is therefore @.",
    "Hence, the answer is: @", "So the total number of apples is @.", "Her answer is @ apples, which we can check.",
    "The answer: @", "the final answer is **@**",
]  # fmt: skip
NUMBER_WRONG = [
    "The answer is not @.", "The answer is @ or #O.", "The answer is @ apples or #O.", "@ or #O", "-@",
    "The answer is -@.", "\\boxed{-@}", "@ - 1", "The answer is @ + 1.", "The answer is 1 + @.", "@ and #O", "@, #O",
    "The answer is between @ and #O.", "The answer is @ to #O.", "@apples7", "The answer is half of @.",
    "The answer is twice @.", "@ squared", "@ minus 1", "@ times 2", "@ apples minus 1", "The answer is at least @.",
    "The answer is more than @.", "The answer is less than @ apples.", "The answer is @.5", "The answer is 0.@",
    "The answer is @ million.", "The answer is @ thousand apples.", "\\boxed{@}\\boxed{#O}", "\\boxed{@}^2",
    "2\\boxed{@}", "Is it @?", "The answer is @. No, it is #O.", "The answer is @. Wait, it's #O.",
    "The answer is @ apples. Actually, it's #O.", "@ is wrong.", "If the answer is @ we have a problem.",
    "Maybe @, maybe #O.", "I thought it was @, but it is #O.", "The answer is #O, not @.", "@/#O", "@:#O", "@ #O",
    "#### @ #### #O", "#### @ or #O", "#### @ apples or #O apples", "#### not @", "答案是@或#O", "Ответ: @ или #O",
    "Ответ: не @", "La respuesta es @ o #O.", "Die Antwort ist nicht @.", "La réponse est @ ou #O.", "(@, #O)",
    "{@, #O}", "[@, #O]", "@ dozen", "@ more than #O", "@ less than #O", "@ out of #O", "the square root of @",
    "@ percent of #O", "@% of #O", "@ × 2", "@^2", "√@", "@ choose 2", "the sum of @ and #O", "@ divided by 2",
    "@ over 2", "less than @", "over @", "under @ apples", "up to @", "almost @", "not more than @",
    "no more than @ apples", "anything but @", "<think>@</think>", "The wrong answer is @.", "@…#O", "@–#O", "@ n",
    "@x", "@ + x", "x + @", "x < @", "x ≠ @", "The answer is @ point five.", "The answer is @ and a half.",
    "@ and a quarter apples", "a third of @", "@ thirds", "@ hundred",
]  # fmt: skip
CHOICE_RIGHT = [
    "@", "@.", "(@)", "@. #T", "@) #T", "#T", "The answer is #T.", "The answer is @.", "The answer is (@) #T.",
    "The answer is @: #T", "**@**", "**@. #T**", "Answer: @. #T", "The correct option is @.",
    "The correct answer is #T.", "Therefore, the best answer is @) #T.", "I would choose @.",
    "I'd pick @ because it fits best.", "@ is correct.", "Option @ is the right answer.", "Option @", "\\boxed{@}",
    "$\\boxed{\\text{(@)}}$", "<answer>@</answer>", "<answer>@) #T</answer>", "Final Answer: @",
    "Final answer: (@) #T", "The final answer is @. I hope it is correct.",
    "So the answer is @.\n\nThe other options do not fit.", "@\n\nIt is the only one that fits.",
    "Let's see: (#O) #U does not fit. The answer is (@).", "(#O) is wrong. (@) is right.", "答案是@", "Ответ: @",
    "La respuesta correcta es @.", "La réponse est @.", "Die Antwort ist @.", "#### @",
    "<think>It might be #O.</think>\nThe answer is @.", "It's @.", "So it must be @.", "Thus @.", "Answer: (@)",
    "Answer - @", "answer: @", "Correct answer: @", "The answer is option @.", "My answer is @.", "Not #O but @.",
    "The answer is not #O but @.",
]  # fmt: skip
CHOICE_WRONG = [
    "#O", "The answer is #O.", "#O) #U", "The answer is #U.", "@ or #O", "The answer is @ or #O.", "@ and #O",
    "Not @", "The answer is not @.", "@) #U", "The answer is @. No, #O.", "The answer is @. Wait, actually it is #O.",
    "Either @ or #O", "The answer is either #T or #U.", "@, #O", "@ is wrong.", "Option @ is incorrect.",
    "The answer is #O, not @.", "\\boxed{@}\\boxed{#O}", "\\boxed{@, #O}", "Is it @?",
    "<think>The answer is @.</think>", "Everything but @", "@/#O", "The answer is @, or maybe #O.",
    "Both @ and #O are right.", "I am torn between @ and #O.", "It is not @, it is #O.", "It isn't #T.",
    "The answer isn't @) #T.", "答案不是@", "答案是@或#O", "Ответ: @ или #O", "La respuesta no es @.",
    "The wrong answer is @.", "If the answer were @, it would contradict the question.", "@? No: #O",
    "We can eliminate @.", "All of them", "None", "#O. Not @.", "The answer is #O rather than @.",
    "#T is not the answer.", "Some say @, but the answer is #O.", "I first thought @, but it is #O.", "@#O",
]  # fmt: skip
QUESTION = """Why is the sky blue?
A) It reflects the sea.
B) The air scatters light.
C) Nobody sees its true color.
D) Is it?"""
OPTIONS = {line[0]: line[3:] for line in QUESTION.splitlines()[1:]}


def filled(form: str, gold: str, other: str) -> str:
    return form.replace("@", gold).replace("#O", other)


@pytest.mark.parametrize(("gold", "other"), GOLDS)
def test_formulas_as_they_are_stated(gold: str, other: str) -> None:
    """A formula verifies however it is announced, and not where it is denied, hedged or a part of something else."""
    refused = [form for form in MATHS_RIGHT if not maths(filled(form, gold, other), gold).correct]
    accepted = [form for form in MATHS_WRONG if maths(filled(form, gold, other), gold).correct]
    assert (refused, accepted) == ([], [])


@pytest.mark.parametrize(("gold", "other"), [("18", "20"), ("5", "6"), ("1,200", "1,300"), ("250", "125")])
def test_numbers_as_they_are_stated(gold: str, other: str) -> None:
    """A number verifies however it is announced, and not where it is denied, hedged or a part of something else."""
    refused = [form for form in NUMBER_RIGHT if not number(filled(form, gold, other), gold).correct]
    accepted = [form for form in NUMBER_WRONG if number(filled(form, gold, other), gold).correct]
    assert (refused, accepted) == ([], [])


@pytest.mark.parametrize(("gold", "other"), [("A", "B"), ("B", "D"), ("C", "A"), ("D", "C")])
def test_options_as_they_are_stated(gold: str, other: str) -> None:
    """An option verifies by letter or text however it is announced, and not where it is denied or beside another."""

    def says(form: str) -> bool:
        text = form.replace("#T", OPTIONS[gold].rstrip(".")).replace("#U", OPTIONS[other].rstrip("."))
        return choose(filled(text, gold, other), gold, question=QUESTION).correct

    refused = [form for form in CHOICE_RIGHT if not says(form)]
    accepted = [form for form in CHOICE_WRONG if says(form)]
    assert (refused, accepted) == ([], [])
