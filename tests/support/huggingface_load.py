"""Load a directory with transformers; run with the Python of the parity environment.

    python huggingface_load.py DIRECTORY TEXTS.json OUTPUT.npz

Writes token ids and outputs of the model that the directory holds; prints the warnings of loading.
"""

import json
import sys

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

CLASSES = {
    "BertForMaskedLM": AutoModelForMaskedLM,
    "BertModel": AutoModel,
    "BertForSequenceClassification": AutoModelForSequenceClassification,
    "BertForTokenClassification": AutoModelForTokenClassification,
    "BertForQuestionAnswering": AutoModelForQuestionAnswering,
}


def output_of(outputs, architecture):
    """Return pooled output, logits, or start and end logits on the last axis."""
    if architecture == "BertModel":
        return outputs.pooler_output
    if architecture == "BertForQuestionAnswering":
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
    return outputs.logits


def main(directory: str, texts_file: str, output: str) -> None:
    with open(texts_file, encoding="utf-8") as file:
        texts = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    found = {name: tensor.numpy() for name, tensor in inputs.items()}
    with open(f"{directory}/config.json", encoding="utf-8") as file:
        (architecture,) = json.load(file)["architectures"]
    model, report = CLASSES[architecture].from_pretrained(directory, output_loading_info=True)
    with torch.no_grad():
        outputs = model.eval()(**inputs, output_hidden_states=True)
    found["hidden"] = np.stack([layer.numpy() for layer in outputs.hidden_states])
    found["output"] = output_of(outputs, architecture).numpy()
    np.savez(output, **found)
    complaints = {name: sorted(map(str, value)) for name, value in report.items() if value}
    print(json.dumps({"complaints": complaints, "tokenizer": type(tokenizer).__name__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
