"""Run on other machines: tf.distribute strategy, plan, preflight, and one module per target."""

import pretrain  # noqa: F401  checks that Python finds our packages
