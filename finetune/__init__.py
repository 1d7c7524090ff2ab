"""Fine-tune an encoder on labelled tasks: read, train, score, export."""

import pretrain  # noqa: F401  checks that Python finds our packages
