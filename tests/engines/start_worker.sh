#!/bin/sh
# What an engine starts as a worker. PYTHON and ROOT come from --environment_config.
cd "$ROOT" && exec "$PYTHON" -m tests.engines.worker "$@"
