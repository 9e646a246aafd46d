# Everything that these need lands in this folder: uv in .tools, the template's own packages in .venv,
# the generated projects' packages in .environments.
UV_VERSION := 0.13.8
OWN := $(CURDIR)/.tools/uv/bin/uv
UV ?= $(or $(shell command -v uv),$(OWN))
PYTHON ?= python3
WORKERS ?= 2
PROJECT := demo/flight-delays
LIFE = cd $(PROJECT) && ENVIRONMENTS=$(CURDIR)/.environments/$$(cat .python-version) $(PYTHON) -m ci.demo
export UV
export PYTHONUNBUFFERED := 1

.PHONY: help demo test lint lock generate
help:
	@echo "make demo   generate the default project into demo/ and run its life on this machine; ARGS=stop ends it"
	@echo "make test   the template's tests; ARGS='-k hostile' selects"
	@echo "make lint   ruff"
	@echo "make lock   renew the generated project's lock from its pyproject.toml; ARGS=--upgrade for newer versions"

demo: $(UV)
	if [ -d $(PROJECT) ]; then $(LIFE) stop; fi
ifneq ($(ARGS),stop)
	rm -rf demo
	$(UV) run --locked cookiecutter . --no-input --output-dir demo
	$(LIFE)
endif

test: $(UV)
	$(UV) run --locked pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(UV)
	$(UV) run --locked ruff check .

generate: $(UV)  # for pipelines: the answers come from their form
	@$(UV) run --locked python -m ci.generate demo

lock: $(UV)
	$(UV) run --locked python -m ci.lock $(ARGS)

$(OWN):
	$(PYTHON) -m venv --clear .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
