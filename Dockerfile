# The engine in a container, as a user without rights.
#
#   docker build -t vlmrb .
#   docker run --rm -v vlmrb-data:/data vlmrb train --env MiniGrid-DoorKey-5x5-v0 --scorer oracle --total-steps 100000
#   docker run --rm -v vlmrb-data:/data vlmrb runs
#
# The database and the checkpoints live in /data: give it a volume on a local disk (SQLite's WAL does not work on a
# network file system). No port is opened. Whatever serves pages from this image belongs on the host's loopback
# only: publish it as `-p 127.0.0.1:PORT:PORT`.

FROM python:3.11-slim

# More options for pip, such as where to find a CPU build of torch.
ARG PIP_OPTIONS=""

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    SDL_VIDEODRIVER=dummy \
    VLMRB_STORE=/data/vlmrb.db \
    NUMBA_CACHE_DIR=/tmp/numba

WORKDIR /src
COPY pyproject.toml README.md ./
COPY vlmrb ./vlmrb
COPY assets ./assets
RUN pip install ${PIP_OPTIONS} ".[postgres]" \
    && rm -rf /src/* \
    && useradd --create-home --uid 10001 vlmrb \
    && install -d -o vlmrb -g vlmrb /data

USER vlmrb
WORKDIR /home/vlmrb
VOLUME /data
ENTRYPOINT ["python", "-m", "vlmrb"]
CMD ["--help"]
