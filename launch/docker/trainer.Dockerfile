# Trainer image for Kubernetes and Vertex AI. Build it in the root of the checkout:
#
#   docker build --file launch/docker/trainer.Dockerfile --build-arg DEVICE=gpu --tag REGISTRY/lambert-trainer:0.1-gpu .
#
# DEVICE is cpu, gpu or tpu. The image runs a module: `launch.node JOB_DIR` for a job,
# `pretrain.run ...`, `launch.preflight ...`.
FROM python:3.11-slim-bookworm

ARG DEVICE=gpu
RUN groupadd --gid 1000 lambert \
    && useradd --uid 1000 --gid 1000 --create-home lambert \
    && install --directory --owner=lambert --group=lambert /var/tmp/lambert

WORKDIR /opt/lambert
COPY requirements.lock ./
COPY launch/install.sh launch/requirements-*.txt launch/
RUN launch/install.sh python "$DEVICE"

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY bench/results bench/results
COPY data data
COPY finetune finetune
COPY gin gin
COPY launch launch
COPY model model
COPY optim optim
COPY pretrain pretrain
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && find . -mindepth 1 -delete

USER 1000:1000
WORKDIR /home/lambert
ENTRYPOINT ["python", "-m"]
CMD ["launch.preflight"]
