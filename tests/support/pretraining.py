"""Settings of a pretraining run that takes seconds."""

TINY = [
    "TrainConfig.train_steps = 6",
    "TrainConfig.global_batch_size = 4",
    "TrainConfig.eval_batch_size = 16",
    "TrainConfig.log_interval = 2",
    "TrainConfig.eval_interval = 4",
    "TrainConfig.checkpoint_interval = 2",
    "TrainConfig.keep_checkpoints = 2",
    "TrainConfig.precision = 'float32'",
    "ClusterConfig.strategy = 'default'",
    "EncoderConfig.hidden_size = 16",
    "EncoderConfig.num_hidden_layers = 2",
    "EncoderConfig.num_attention_heads = 2",
    "EncoderConfig.intermediate_size = 32",
    "EncoderConfig.max_position_embeddings = 64",
    "EncoderConfig.hidden_dropout_prob = 0.1",
    "EncoderConfig.attention_probs_dropout_prob = 0.1",
    "OptimizerConfig.warmup_steps = 2",
]


def arguments(data_dir, model_dir, *params: str) -> list[str]:
    """Return the command line of pretrain.run."""
    flags = [flag for param in [*TINY, *params] for flag in ("--gin_param", param)]
    return [*flags, "--data_dir", str(data_dir), "--model_dir", str(model_dir)]
