"""Rows for a small audit with planted bold text, several turns, a tool call and texts that try to break out."""

import json
import os
import random
import shutil
import time
from pathlib import Path

from anatomy import artifacts

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
SCRIPT = "<script>window.hacked = 1; alert(1)</script>"
IMAGE = "</script><img src=x onerror='window.hacked = 1'><b>bold</b> \u202ereversed\x1b[31m &amp; {{x}}"
PAIRS = 120
PATIENCE_S = 60
"""Limit of every wait for a state: far beyond what a busy machine needs, so that only a state never reached ends it."""


def rows() -> list[dict]:
    """Explicit conversations; the chosen side carries bold words, and models are named."""
    generator = random.Random(0)

    def sentence(marks: bool) -> str:
        words = generator.sample(WORDS, 8)
        return " ".join(f"**{word}**" if marks and place < 3 else word for place, word in enumerate(words))

    found = []
    for number in range(PAIRS):
        prompt = [{"role": "user", "content": f"Tell me about {WORDS[number % 20]} number {number}"}]
        more = " or so it is said by many" if number % 8 == 1 else ""  # the longer side does not always win
        models = ("model-a", "model-b") if number % 4 else ("model-b", "model-a")
        found.append({"prompt": prompt, "chosen": _answer(sentence(True)), "rejected": _answer(sentence(False) + more),
                      "source": "web" if number % 3 else IMAGE, "chosen_model": models[0],
                      "rejected_model": models[1]})  # fmt: skip
    found[5] |= {"chosen": _answer(f"{SCRIPT} the dog is good"), "rejected": _answer(f"{IMAGE} the fox is lazy")}
    found[6]["prompt"] = [
        {"role": "user", "content": "What is the weather today?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo", "note": SCRIPT}}}]},
        {"role": "tool", "content": "rain, 7 degrees", "name": "weather"},
        {"role": "user", "content": "And is that good for a needleword fox?"},
    ]  # fmt: skip
    return found


def _answer(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


def write(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def chromium() -> str | None:
    """A Chromium on this machine: ``$CHROMIUM``, or one in the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)


FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


class Opened:
    """A page of its own, with what its console and its network said."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(viewport={"width": 1280, "height": 860}, offline=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.faults, self.asked = [], []
        self.page.on(
            "console", lambda line: self.faults.append(line.text) if line.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.address = f"file://{path / artifacts.REPORT / artifacts.REPORT_PAGE}"
        self.go("")

    def go(self, fragment):
        self.page.goto(f"{self.address}#{fragment}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def count(self, selector):
        return self.page.locator(selector).count()

    def wait(self, expression):
        """Until it is true (the page's policy forbids Playwright's own waiting for an expression)."""
        end = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(50)


def decide(opened, place, target, decision, comment=""):
    """Open the place and decide on the target there."""
    page = opened.go(place)
    page.wait_for_selector(f'main [aria-label="decision on {target}"]')
    button = f'main [aria-label="decision on {target}"] button.{decision}'
    page.locator(button).first.click()
    page.wait_for_selector(f'{button}[aria-pressed="true"]')
    if comment:
        box = page.locator(f'main [aria-label="decision on {target}"] input').first
        box.fill(comment)
        box.press("Enter")
        opened.wait(f"Object.values(localStorage).some((text) => text.includes({json.dumps(comment.strip()[:5])}))")
