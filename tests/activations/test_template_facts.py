"""What templates of several families do to every conversation."""

from __future__ import annotations

import pytest
from support.tiny import CHATML, save_tokenizer

from anatomy.activations.model import load_tokenizer
from anatomy.activations.template_facts import template_facts
from anatomy.settings import ModelSettings

TURNS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def facts_of(tmp_path_factory):
    def of(template: str, bos: bool):
        folder = tmp_path_factory.mktemp("tokenizer")
        save_tokenizer(folder, template)
        tokenizer = load_tokenizer(ModelSettings(model=str(folder), trust_remote_code=False))
        if bos:
            from tokenizers.processors import TemplateProcessing

            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
            )
        return template_facts(tokenizer)

    return of


@pytest.mark.parametrize(
    ("template", "bos", "begins", "added"),
    [
        (TURNS, False, "as it should", False),
        (TURNS, True, "missing", False),
        ("{{ bos_token }}" + TURNS, True, "as it should", True),
        ("{{ bos_token }}{{ bos_token }}" + TURNS, True, "doubled", True),
    ],
)
def test_how_texts_begin(facts_of, template, bos, begins, added):
    found = facts_of(template, bos)
    assert (found.bos, found.added, found.ends) == (begins, added, True)


def test_how_texts_end(facts_of):
    assert facts_of(CHATML, False).ends
    assert not facts_of("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}", False).ends


def test_a_template_that_depends_on_the_day_or_has_a_system_turn_of_its_own(facts_of):
    dated = facts_of("{{ strftime_now('%d %b %Y') }}\n" + TURNS, False)
    assert dated.dated
    assert not dated.own_system
    assert facts_of("system: Be kind.\n" + TURNS, False).own_system


def test_a_template_that_refuses_has_no_facts(facts_of):
    assert facts_of("{{ raise_exception('no') }}", False) is None
