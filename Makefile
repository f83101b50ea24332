# Two commands: `make demo` shows everything, `make test` checks everything. Both install what is missing first.

python := .venv/bin/python
sources := catalog engine gotemplate logs registrar proxy_api deploy bench tests setup.py
# pytest workers: the tests wait for other programs most of the time, so more than one for each core pays.
WORKERS ?= 4

.PHONY: install test lint demo bench lock clean

install:
	@bash deploy/install.sh

# What must work beside the HAProxy of this system, each from a Debian suite.
newer := $(foreach version,3.0 3.2 3.4,.tools/haproxy-$(version)/haproxy)

.tools/haproxy-%/haproxy: deploy/fetch-haproxy.sh deploy/debian.sh | install
	@echo "[HAProxy $*] fetching"; bash deploy/fetch-haproxy.sh $* .tools/haproxy-$*

test: install $(newer) lint
	$(python) -m deploy.engine run -- $(python) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: install
	$(python) -m ruff check $(wildcard $(sources))
	$(python) -m mypy
	.venv/bin/shellcheck -x deploy/*.sh deploy/go-demo/* vagrant/*.sh .ci/run

demo: install
	@KEEP=$(KEEP) $(python) -m deploy.demo

bench: install
	$(python) -m bench $(ARGS)

# Writes both lock files anew from setup.cfg; the second holds exactly the first one's versions.
lock: install
	$(python) -m venv .tools/lock
	.tools/lock/bin/pip install --quiet --disable-pip-version-check uv
	.tools/lock/bin/uv pip compile setup.py --extra build --universal --generate-hashes --python-version 3.11 \
		--quiet --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) -o requirements.txt
	.tools/lock/bin/uv pip compile setup.py --extra build --extra test --universal --generate-hashes \
		--python-version 3.11 --quiet --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
		-c requirements.txt -o requirements-test.txt

clean:
	rm -rf .venv .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
