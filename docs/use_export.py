"""Run the snippets of Lambert's published model card on an export, with only TensorFlow.

    TF_USE_LEGACY_KERAS=1 python docs/use_export.py E

Since TensorFlow 2.16 `tf.keras` is Keras 3, which tensorflow_hub does not support; the variable selects
Keras 2. Without it, write `tf_keras` for `tf.keras`.
"""

import sys

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

EXPORT = sys.argv[1]
PREPROCESSOR, ENCODER = f"{EXPORT}/preprocessor", f"{EXPORT}/encoder"
assert not any(name.split(".")[0] in ("pretrain", "model", "official") for name in sys.modules)

text_input = tf.keras.layers.Input(shape=(), dtype=tf.string)
preprocessor = hub.KerasLayer(PREPROCESSOR)
encoder_inputs = preprocessor(text_input)
encoder = hub.KerasLayer(ENCODER, trainable=True)
outputs = encoder(encoder_inputs)
pooled_output = outputs["pooled_output"]  # [batch_size, 1024].
sequence_output = outputs["sequence_output"]  # [batch_size, seq_length, 1024].

embedding_model = tf.keras.Model(text_input, pooled_output)
sentences = tf.constant(["(your text here)"])
print(embedding_model(sentences))
print(f"{len(outputs['encoder_outputs'])} blocks")
print(f"{len(embedding_model.trainable_variables)} variables are fine-tuned")

seq_length, num_predict = 24, 4
mlm_inputs = dict(
    input_word_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    input_mask=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    input_type_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    masked_lm_positions=tf.keras.layers.Input(shape=(num_predict,), dtype=tf.int32),
)

encoder = hub.load(ENCODER)
mlm = hub.KerasLayer(encoder.mlm, trainable=True)
mlm_outputs = mlm(mlm_inputs)
mlm_logits = mlm_outputs["mlm_logits"]  # [batch_size, num_predict, vocab_size]
print(f"logits: {mlm_logits.shape.as_list()}")

model = tf.keras.Model(mlm_inputs, mlm_logits)
model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
ones = {name: tf.ones([1, value.shape[1]], tf.int32) for name, value in mlm_inputs.items()}
labels = tf.ones([1, num_predict], tf.int32)
losses = [model.train_on_batch(ones, labels) for _ in range(6)]
print(f"fine-tuned on one batch: loss {losses[0]:.3f} -> {losses[-1]:.3f}")
if losses[-1] >= losses[0]:
    sys.exit("error: the loss did not decrease")
