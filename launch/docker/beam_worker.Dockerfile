# Worker image of the data build, for Dataflow, Flink and Spark. Build it in the root of the checkout:
#
#   docker build --file launch/docker/beam_worker.Dockerfile --tag REGISTRY/lambert-worker:0.1 .
#
# Workers import this package, so the image must contain the version that submits the job.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/lambert
COPY requirements.lock ./
COPY launch/install.sh launch/requirements-*.txt launch/
RUN launch/install.sh python cpu

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
    && useradd --uid 1000 --create-home lambert

# The base image runs as root; its entry point starts the worker.
USER 1000
WORKDIR /home/lambert
