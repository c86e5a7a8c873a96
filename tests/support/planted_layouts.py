"""The same planted pairs written in every kind of layout: what reads them has to give them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Planted(NamedTuple):
    """A prompt with its better and its worse answer; ``second`` says that the better one is written second."""

    prompt: str
    good: str
    bad: str
    second: bool


def planted(count: int) -> list[Planted]:
    """Pairs whose texts are all different."""
    return [
        Planted(
            f"What is question {n} about, please?",
            f"It is about matter {n}, I think.",
            f"No idea {n} at all.",
            n % 3 == 1,
        )
        for n in range(count)
    ]


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def named(prompt: str, chosen: str, rejected: str) -> Callable[[Planted], dict[str, Any]]:
    return lambda p: {prompt: p.prompt, chosen: p.good, rejected: p.bad}


def sides(a: str, b: str, **others: Callable[[Planted], Any]) -> Callable[[Planted], dict[str, Any]]:
    """Two numbered answers in the planted order, and other columns."""

    def record(p: Planted) -> dict[str, Any]:
        first, second = (p.bad, p.good) if p.second else (p.good, p.bad)
        return {"prompt": p.prompt, a: first, b: second, **{name: value(p) for name, value in others.items()}}

    return record


def transcript(user: str, assistant: str, end: str = "") -> Callable[[Planted], dict[str, Any]]:
    def record(p: Planted) -> dict[str, Any]:
        return {
            side: f"{user}{p.prompt}{end}{assistant}{text}{end}"
            for side, text in (("chosen", p.good), ("rejected", p.bad))
        }

    return record


def ranked(p: Planted) -> list[tuple[str, float]]:
    found = [(p.good, 9.0), (f"Middling: {p.prompt}", 5.0), (p.bad, 1.0)]
    return found[::-1] if p.second else found


LAYOUTS: dict[str, tuple[str, Callable[[Planted], dict[str, Any]]]] = {
    "chosen": ("explicit", named("prompt", "chosen", "rejected")),
    "chosen_response": ("explicit", named("question", "chosen_response", "rejected_response")),
    "hyphens and case": ("explicit", named("Instruction", "Chosen-Response", "Rejected-Response")),
    "preferred output": ("explicit", named("input", "preferred_output", "non_preferred_output")),
    "better": ("explicit", named("query", "better", "worse")),
    "win": ("explicit", named("context", "win_response", "lose_response")),
    "accepted": ("explicit", named("post", "accepted", "declined")),
    "with typos": ("explicit", named("prompt", "chossen", "rejeted")),
    "inside of an object": (
        "explicit",
        lambda p: {
            "question": {"full_text": p.prompt, "id": 1}, "chosen": {"text": p.good}, "rejected": {"text": p.bad},
        },
    ),
    "OpenAI": (
        "explicit",
        lambda p: {
            "input": {"messages": [turn("user", p.prompt)], "parallel_tool_calls": True},
            "preferred_output": [turn("assistant", p.good)],
            "non_preferred_output": [turn("assistant", p.bad)],
        },
    ),
    "whole conversations": (
        "implicit",
        lambda p: {
            side: [turn("user", p.prompt), turn("assistant", text)]
            for side, text in (("chosen", p.good), ("rejected", p.bad))
        },
    ),
    "message lists as JSON": (
        "implicit",
        lambda p: {
            side: json.dumps([turn("user", p.prompt), turn("assistant", text)])
            for side, text in (("chosen", p.good), ("rejected", p.bad))
        },
    ),
    "message lists as repr": (
        "implicit",
        lambda p: {
            side: repr([turn("user", p.prompt), turn("assistant", text)])
            for side, text in (("chosen", p.good), ("rejected", p.bad))
        },
    ),
    "a message as JSON": (
        "explicit",
        lambda p: {
            "prompt": p.prompt,
            "chosen": json.dumps(turn("assistant", p.good)),
            "rejected": json.dumps(turn("assistant", p.bad)),
        },
    ),
    "model_a": ("winner", sides("response_a", "response_b", winner=lambda p: "model_b" if p.second else "model_a")),
    "letters": ("winner", sides("answer_a", "answer_b", better=lambda p: "B" if p.second else "A")),
    "name of the column": (
        "winner", sides("response_1", "response_2", preferred=lambda p: f"response_{2 if p.second else 1}")
    ),
    "left and right": (
        "winner", sides("left_response", "right_response", choice=lambda p: "right" if p.second else "left")
    ),
    "number": ("winner", sides("response_1", "response_2", preference=lambda p: 2 if p.second else 1)),
    "index": ("winner", sides("answer_0", "answer_1", better_answer_id=lambda p: int(p.second))),
    "one-hot": (
        "winner",
        sides("response_a", "response_b", winner_model_a=lambda p: int(not p.second),
              winner_model_b=lambda p: int(p.second), winner_tie=lambda _: 0),
    ),
    "sign": ("winner", sides("response1", "response2", overall_preference=lambda p: 2 if p.second else -3)),
    "difference": ("winner", sides("response_a", "response_b", score_difference=lambda p: -1.5 if p.second else 0.5)),
    "truth": ("winner", sides("output_1", "output_2", is_output_1_better=lambda p: not p.second)),
    "text of the better": ("winner", sides("completion_a", "completion_b", preferred_completion=lambda p: p.good)),
    "model of the better": (
        "winner",
        sides("response_a", "response_b", model_a=lambda p: "m-one" if p.second else "m-two",
              model_b=lambda p: "m-two" if p.second else "m-one", winner=lambda _: "m-two"),
    ),
    "scores of two": (
        "ranking",
        sides("answer_0", "answer_1", score_0=lambda p: -0.5 if p.second else 0.5,
              score_1=lambda p: 0.5 if p.second else -0.5),
    ),
    "lists with scores": (
        "ranking",
        lambda p: {
            "prompt": p.prompt, "responses": [text for text, _ in ranked(p)],
            "scores": [score for _, score in ranked(p)],
        },
    ),
    "lists with ranks": (
        "ranking",
        lambda p: {
            "prompt": p.prompt, "answers": [text for text, _ in ranked(p)],
            "ranks": [10 - score for _, score in ranked(p)],
        },
    ),
    "objects with scores": (
        "ranking",
        lambda p: {
            "instruction": p.prompt,
            "completions": [{"response": text, "overall_score": score, "model": "m"} for text, score in ranked(p)],
        },
    ),
    "objects with a choice": (
        "ranking",
        lambda p: {
            "info": {"id": 1, "post": p.prompt}, "choice": int(p.second),
            "summaries": [{"text": p.bad}, {"text": p.good}] if p.second else [{"text": p.good}, {"text": p.bad}],
        },
    ),
    "an object as JSON": (
        "explicit",
        lambda p: {"prompt": p.prompt, "data": json.dumps({"chosen": p.good, "rejected": p.bad})},
    ),
    "lists of sides": ("ranking", lambda p: {"prompt": p.prompt, "chosen": [p.good], "rejected": [p.bad, "Hm."]}),
    "rest of a conversation": (
        "explicit",
        lambda p: {"messages": [turn("user", p.prompt), turn("assistant", p.good)], "rejected_response": p.bad},
    ),
    "rest of two conversations": (
        "explicit",
        lambda p: {
            "messages": [turn("user", p.prompt), turn("assistant", p.good)],
            "rejected_messages": [turn("user", p.prompt), turn("assistant", p.bad)],
        },
    ),
    "anchor": ("explicit", named("anchor", "positive", "negative")),
    "correct": ("explicit", named("problem", "correct_solution", "incorrect_solution")),
    "safe": ("explicit", named("prompt", "safe_response", "unsafe_response")),
    "j and k": ("explicit", named("question", "response_j", "response_k")),
    "edited": ("explicit", named("context", "good_edited_response", "bad_edited_response")),
    "a prompt's word among others": ("explicit", named("task_description", "chosen", "rejected")),
    "a trajectory": (
        "explicit",
        lambda p: {"trajectory": [{"from": "user", "value": p.prompt}], "chosen": p.good, "rejected": p.bad},
    ),
    "text before marked turns": (
        "transcripts",
        lambda p: {
            "chatml_prompt": f"<|im_start|>user\n{p.prompt}<|im_end|>\n<|im_start|>assistant\n",
            "chosen": f"{p.good}<|im_end|>", "rejected": f"{p.bad}<|im_end|>",
        },
    ),
    "a marked question": (
        "transcripts",
        lambda p: {"prompt": f"<|prompter|>{p.prompt}<|endoftext|>", "chosen": p.good, "rejected": p.bad},
    ),
    "parts": (
        "explicit",
        lambda p: {
            "contents": [{"role": "user", "parts": [{"text": p.prompt}]}],
            **{
                side: {"role": "model", "parts": [{"text": text}]}
                for side, text in (("chosen", p.good), ("rejected", p.bad))
            },
        },
    ),
    "scored parts": (
        "ranking",
        lambda p: {
            "contents": [{"role": "user", "parts": [{"text": p.prompt}]}],
            "completions": [
                {"score": score, "completion": {"role": "model", "parts": [{"text": text}]}}
                for text, score in ranked(p)
            ],
        },
    ),
    "scored turns": (
        "ranking",
        lambda p: {
            "messages": [turn("user", p.prompt)],
            "responses": [{**turn("assistant", text), "score": score} for text, score in ranked(p)],
        },
    ),
    "marked as correct": (
        "ranking",
        lambda p: {
            "prompt": p.prompt,
            "responses": [{"text": text, "correct": text == p.good} for text, score in ranked(p) if score != 5],
        },
    ),
    "scores of two in a list": (
        "ranking", sides("answer1_body", "answer2_body", score=lambda p: [2, 9] if p.second else [9, 2])
    ),
    "letters alone": ("winner", sides("A", "B", Preference=lambda p: "B" if p.second else "A")),
    "words of the columns": (
        "winner",
        sides("baseline_response", "candidate_response", winner=lambda p: "candidate" if p.second else "baseline"),
    ),
    "an inequality": ("winner", sides("answer_a", "answer_b", verdict=lambda p: "[[B>>A]]" if p.second else "[[A>B]]")),
    "a sentence": (
        "winner",
        sides(
            "response_1", "response_2",
            judgment=lambda p: f"Response {2 - (not p.second)} is much better than Response {1 + (not p.second)}.",
        ),
    ),
    "degrees": (
        "winner",
        sides("response_a", "response_b",
              rating=lambda p: "B is slightly better" if p.second else "A-is-clearly-better"),
    ),
    "three votes": (
        "winner",
        sides("response1", "response2", annotator1=lambda p: 2 if p.second else 1,
              annotator2=lambda p: 1 if p.second else 2, annotator3=lambda p: 2 if p.second else 1),
    ),
    "HH": ("hh", transcript("\n\nHuman: ", "\n\nAssistant: ")),
    "### Human": ("transcripts", transcript("### Human: ", "\n### Assistant: ")),
    "prompter": ("transcripts", transcript("<|prompter|>", "<|assistant|>", "<|endoftext|>")),
    "<|user|>": ("transcripts", transcript("<|user|>\n", "<|assistant|>\n", "</s>\n")),
    "USER": ("transcripts", transcript("A chat. USER: ", " ASSISTANT: ")),
    "ChatML": ("transcripts", transcript("<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n")),
    "common start": ("implicit-text", transcript("Question: ", "\nAnswer: ")),
}  # fmt: skip
"""Name, the format that is recognised, and a record of a planted pair; texts of ``USER`` have a preamble."""
