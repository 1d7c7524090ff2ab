"""Run on other machines: tf.distribute strategy, plan, preflight, and one module per target."""
