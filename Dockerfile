# The engine and the studio in a container, run as an unprivileged user.
#
#   docker build -t vlmrb .
#   docker run --rm -v vlmrb-data:/data vlmrb train --env MiniGrid-DoorKey-5x5-v0 --total-steps 100000
#   docker run --rm -v vlmrb-data:/data vlmrb runs
#   docker run --rm --init -v vlmrb-data:/data -p 127.0.0.1:7860:7860 -e VLMRB_STUDIO_PASSWORD=… --entrypoint python vlmrb \
#       -m app --host 0.0.0.0 --no-open        (then http://127.0.0.1:7860/, user name: studio)
#
# /data holds the database and the checkpoints: mount a volume on a local disk there (SQLite's WAL does not work on network
# file systems). Publish the studio's port on the host's loopback interface only, as above, or put HTTPS in front of it.
# Jobs started by the studio run in its container and end with it; they can be resumed.

FROM python:3.11-slim-bookworm

# Extra pip options, for example the index of torch's CPU builds.
ARG PIP_OPTIONS=""

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    SDL_VIDEODRIVER=dummy \
    VLMRB_STORE=/data/vlmrb.db \
    NUMBA_CACHE_DIR=/tmp/numba

# MuJoCo uses EGL to render without a screen.
RUN apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri libopengl0 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml README.md ./
COPY vlmrb ./vlmrb
COPY app ./app
COPY assets ./assets
RUN pip install ${PIP_OPTIONS} ".[postgres,ray,s3,gcs]" \
    && rm -rf /src/* \
    && useradd --create-home --uid 10001 vlmrb \
    && install -d -o vlmrb -g vlmrb /data

USER vlmrb
WORKDIR /home/vlmrb
VOLUME /data
ENTRYPOINT ["python", "-m", "vlmrb"]
CMD ["--help"]
