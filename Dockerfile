# xumx on CPUs, in two images (docs/docker.md tells how they are used):
#     docker build -t xumx .
#     docker build -t xumx-train --target train .

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS wheel
WORKDIR /xumx
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY args args
COPY xumx xumx
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .


# Training and evaluation, on several processes too. NNabla's newest Python is 3.10.
FROM python:3.10-slim AS train
# musdb starts the programs ffmpeg and ffprobe
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /wheel /wheel
# The extra mpi brings MPICH with its mpirun.
RUN pip install --no-cache-dir "$(ls /wheel/*.whl)[train,eval,mpi]" && mkdir -m 1777 /cache
# What is downloaded and compiled is kept there, for any user.
ENV HOME=/cache
VOLUME /cache
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["xumx"]
CMD ["train", "--help"]


FROM python:${PYTHON}-slim AS separate
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir /wheel/*.whl && mkdir -m 1777 /cache
ENV HOME=/cache
VOLUME /cache
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["xumx"]
CMD ["--help"]
