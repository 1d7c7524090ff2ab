"""Worker that an engine starts as a process: `python -m tests.engines.worker --id ID ...`.

Beam's own start program for workers (`boot`) is only in its images, and its worker pool listens on all
network interfaces.
"""

import argparse

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
)
from apache_beam.runners.worker.sdk_worker import SdkHarness
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    args, _ = parser.parse_known_args()
    with grpc.insecure_channel(args.provision_endpoint) as channel:
        channel = grpc.intercept_channel(channel, WorkerIdInterceptor(args.id))
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, timeout=60).info
    SdkHarness(info.control_endpoint.url, worker_id=args.id, data_buffer_time_limit_ms=-1).run()


if __name__ == "__main__":
    main()
