# Worker image of the data build, for Dataflow, Flink and Spark. From the root of the checkout:
#
#   docker build --file launch/docker/beam_worker.Dockerfile --tag REGISTRY/lambert-worker:0.1 .
#
# Workers import this package by name, so the image must hold the version that submits the job.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/lambert
COPY requirements.lock setup.cfg pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY data data
COPY gin gin
COPY launch launch
COPY model model
COPY optim optim
COPY pretrain pretrain
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
# The entry point of the base image starts the worker.
