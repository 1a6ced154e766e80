# Each target makes its own environment first; nothing needs to be installed beforehand but Python 3.11 or later.
# The pins in constraints.txt were resolved and tested on Python 3.11, so that is looked for first.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORE := .venv-core
CORE_READY := $(CORE)/.ready
EXTRAS := train,math,sb3,envs,ray,search,contamination,dev
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)

.PHONY: help setup demo test test-core test-slow docs figures check check-gpu fix clean \
	reproduce-grpo-arithmetic reproduce-grpo-gsm8k reproduce-speed \
	reproduce-tabular reproduce-ppo reproduce-off-policy reproduce-ablation reproduce-ppo-speed reproduce-tuning \
	reproduce-ladder reproduce-hacking reproduce-train-speed reproduce-eval reproduce-eval-speed \
	reproduce-contamination reproduce-null reproduce-gsm8k-test reproduce-study
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 28

setup: $(READY) ## make .venv with pinned versions; the other targets do it too

demo: $(READY) ## train a 135M model on arithmetic, evaluate before and after, write a report
	$(BIN)/python recipes/grpo_arithmetic.py $(ARGS)

test: check ## lint, types, import rules, tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --with-extras $(EXTRAS) $(ARGS)

test-core: $(CORE_READY) ## lint, types and the tests of the light install, in an environment without deep learning
	$(CORE)/bin/ruff check .
	$(CORE)/bin/ruff format --check .
	$(CORE)/bin/pyright --threads 2 --project .ci/pyright-core.json
	$(CORE)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

test-slow: $(READY) ## tests that need minutes or gigabytes
	$(BIN)/python -m pytest -m slow $(ARGS)

check: $(READY) ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

check-gpu: $(READY) ## what only a GPU can show, in under ten minutes
	$(BIN)/python scripts/check_gpu.py

fix: $(READY) ## mend what ruff can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reproduce-grpo-arithmetic: $(READY) ## the demo over three seeds, and their joint report (15 minutes on 2 cores)
	for seed in 0 1 2; do $(BIN)/python recipes/grpo_arithmetic.py --seed $$seed --root runs/reproduced || exit $$?; done
	$(BIN)/rlpath report runs/reproduced/grpo_arithmetic/*/seed-*

reproduce-grpo-gsm8k: $(READY) ## word problems, a 0.5B model over three seeds (hours a seed on 2 cores; resumable)
	for seed in 0 1 2; do \
		$(BIN)/accelerate launch recipes/grpo_gsm8k.py --seed $$seed --root runs/reproduced || exit $$?; done
	$(BIN)/rlpath report runs/reproduced/grpo_gsm8k/*/seed-*

reproduce-study: $(READY) ## what RL from verifiable rewards adds: nine arms, three seeds (hours on 2 cores; resumable)
	$(BIN)/python recipes/rlvr_study.py --root runs/reproduced

reproduce-gsm8k-test: reproduce-grpo-gsm8k ## those three seeds on GSM8K's test split, as planned before
	$(BIN)/rlpath eval --model runs/reproduced/grpo_gsm8k/*/seed-* --baseline qwen2.5-coder-0.5b-instruct \
		--tasks gsm8k,svamp --size 200 --samples 2 --prereg recipes/reports/grpo_gsm8k.prereg.toml \
		--out runs/reproduced/evaluation-gsm8k

reproduce-speed: $(READY) ## time a GRPO step beside stock TRL's (8 minutes on 2 cores), and verifiers beside Math-Verify
	$(BIN)/python scripts/bench_grpo_step.py
	$(BIN)/python scripts/bench_verifiers.py --rows 6000

reproduce-tabular: $(READY) ## tables on three environments, 30 seeds each (3 minutes)
	$(BIN)/python recipes/tabular.py --env-id FrozenLake-v1 --algorithm q_learning --seeds 30 --root runs/reproduced
	$(BIN)/python recipes/tabular.py --env-id Taxi-v4 --algorithm q_learning --seeds 30 --root runs/reproduced
	$(BIN)/python recipes/tabular.py --env-id CliffWalking-v1 --algorithm all --seeds 30 --root runs/reproduced

reproduce-ppo: $(READY) ## PPO on four environments, 10 seeds each (30 minutes on 2 cores)
	for preset in cartpole acrobot mountaincar lunarlander; do \
		$(BIN)/python recipes/ppo.py --preset $$preset --seeds 10 --root runs/reproduced || exit $$?; done

reproduce-off-policy: $(READY) ## SAC, TD3, DDPG beside Stable-Baselines3, and DQN (an hour on 2 cores)
	for algorithm in sac td3 ddpg; do $(BIN)/python scripts/compare_sb3.py --algorithm $$algorithm \
		--preset pendulum --seeds 3 --root runs/reproduced || exit $$?; done
	$(BIN)/python recipes/dqn.py --preset cartpole --seeds 10 --root runs/reproduced

reproduce-ablation: $(READY) ## eight details of PPO, 10 paired seeds an arm (6 minutes on 2 cores)
	$(BIN)/python recipes/ablate_ppo.py --root runs/reproduced

reproduce-ppo-speed: $(READY) ## PPO's steps a second beside Stable-Baselines3 (4 minutes on 2 cores)
	$(BIN)/python scripts/bench_ppo.py --steps 50000 --repeats 3

reproduce-tuning: $(READY) ## SFT, reward model, DPO and PPO, the reward model over three seeds (50 minutes on 2 cores)
	for seed in 0 1 2; do $(BIN)/python recipes/reward_model.py --seed $$seed --root runs/reproduced || exit $$?; done
	for recipe in sft_gsm8k sft_chat dpo ppo_rlhf; do \
		$(BIN)/python recipes/$$recipe.py --root runs/reproduced || exit $$?; done

reproduce-ladder: $(READY) ## base, SFT, DPO, PPO and GRPO on two tasks, three seeds each (two hours on 2 cores)
	$(BIN)/python recipes/ladder.py --root runs/reproduced

reproduce-hacking: $(READY) ## four exhibits of reward hacking with their remedies, three seeds each (an hour on 2 cores)
	for exhibit in sloppy-verifier added-format; do \
		$(BIN)/python recipes/hack_the_reward.py --exhibit $$exhibit --steps 15 --root runs/reproduced || exit $$?; done
	for exhibit in length-bias overoptimization; do \
		$(BIN)/python recipes/hack_the_reward.py --exhibit $$exhibit --steps 8 --root runs/reproduced || exit $$?; done

reproduce-train-speed: $(READY) ## fine-tuning's tokens a second beside TRL's defaults (5 minutes on 2 cores)
	$(BIN)/python scripts/bench_train.py

reproduce-eval: reproduce-grpo-arithmetic ## the suite on those runs against their base, as planned before
	$(BIN)/rlpath eval --model runs/reproduced/grpo_arithmetic/*/seed-* --baseline smollm2-135m-instruct \
		--tasks arithmetic,svamp --size 60 --samples 2 --max-tokens 40 --sensitivity --probes \
		--prereg recipes/reports/grpo_arithmetic.prereg.toml --out runs/reproduced/evaluation

reproduce-eval-speed: $(READY) ## the suite beside lm-evaluation-harness, which is installed for it (7 minutes)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,math,bench]'
	$(BIN)/python scripts/bench_eval.py

reproduce-null: $(READY) ## how often the suite's verdicts see an improvement where there is none (20 minutes)
	$(BIN)/python scripts/simulate_null.py

reproduce-contamination: $(READY) ## error rates of the contamination detectors, and the n-gram check's speed (30 minutes)
	$(BIN)/rlpath contamination lab --seeds 0 1 2 --out runs/reproduced/contamination-lab
	$(BIN)/python scripts/bench_contamination.py

clean: ## remove caches and build leftovers; runs/ and the environments stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

docs: $(READY) ## the documentation as a website in build/site
	$(BIN)/python scripts/docs/build.py

figures: $(READY) ## draw the figures of the documentation again from the recorded curves
	$(BIN)/python scripts/draw_figures.py

$(READY): pyproject.toml constraints.txt scripts/setup_vllm.py
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later with venv and pip found;" \
		"install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 2; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/python scripts/setup_vllm.py
	@touch $@

$(CORE_READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later with venv and pip found" >&2; exit 2; }
	$(CORE)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(CORE)
	$(CORE)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@
