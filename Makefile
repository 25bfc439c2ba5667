# `make demo` and `make test` do all their own set-up. Settings: PYTHON (which Python makes the .venv), TORCH_INDEX (where PyTorch
# comes from; empty: pip's own index), ARGS (further words for the command).

VENV ?= .venv
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ARGS ?=

# With a ROS 2 installation sourced, its rclpy would shadow the one in the .venv.
ifdef AMENT_PREFIX_PATH
$(info A ROS 2 installation is sourced: make leaves it alone and uses the ROS 2 wheels in $(VENV). To build against it, see README.md.)
unexport AMENT_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH RMW_IMPLEMENTATION ROS_DISTRO
endif

export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

.PHONY: help demo test test-tensorrt results lint venv clean
help:
	@echo 'make demo    drive the predictor with the built-in synthetic camera for 20 s; report in out/demo/'
	@echo 'make test    run every test'
	@echo 'make test-tensorrt  build every released model with TensorRT for RTX (230 MB more, no GPU needed)'
	@echo 'make results  train the runs of docs/results.md one after the other and write its table into out/results/; goes on where it stopped'
	@echo 'make lint    ruff and mypy'
	@echo 'make venv    only the set-up (.venv), which the others do by themselves'
	@echo 'make clean   remove what make made, .venv included'

venv:
	@PYTHON='$(PYTHON)' scripts/setup_venv.sh $(VENV) '$(TORCH_INDEX)'

demo: venv
	@$(VENV)/bin/vidpred demo $(ARGS)

test: venv
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

test-tensorrt: venv
	@scripts/setup_tensorrt_venv.sh $(VENV) $(VENV)-tensorrt
	@$(VENV)-tensorrt/bin/python -m pytest -n 2 --dist loadgroup test/engines/test_tensorrt_rtx.py $(ARGS)

# drive_gan_* go on from drive_g_*
RUNS = drive_g_mae drive_g_vgg drive_gan_mae drive_gan_vgg drive_mathieu svg_lp_drive svg_pl_drive
results: venv
	@: $${VIDPRED_DATA:?set it to the folder of sequences that the recipes name}
	@for run in $(RUNS); do $(VENV)/bin/python -m training.train $$run || exit; done
	@$(VENV)/bin/vidpred table hrp_tree_w25 hrp_tree_w50 hrp_free_w25 $(RUNS) --data $$VIDPRED_DATA --split val --out out/results $(ARGS)

lint: venv
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) $(VENV)-tensorrt out build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
