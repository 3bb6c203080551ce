# docker build -t misdirection .                                                       CPU
# docker build -t misdirection --build-arg TORCH=https://download.pytorch.org/whl/cu126 .   CUDA (run with --gpus all)
# docker run --rm -v "$PWD:/work" misdirection audit --out runs/first
FROM python:3.12-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
WORKDIR /package
COPY . .
# PyTorch first, of the build that is wanted: a plain requirement takes the one for CUDA.
RUN version=$(sed -n 's/^torch==\([^+]*\).*/\1/p' constraints.txt) \
    && pip install --no-cache-dir "torch==$version" --index-url "$TORCH" \
    && pip install --no-cache-dir -c constraints.txt ".[app,judges,notebook]" \
    && rm -rf /package
# Runs belong to whoever started the container: docker run --user "$(id -u):$(id -g)".
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["misdirection"]
CMD ["--help"]
