# Predicts and reproduces on the CPU:
#   docker build -t ich_tf .
#   docker run --rm -v "$PWD:/work" ich_tf predict scan.nii.gz --out OUT
FROM python:3.13-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel

FROM python:3.13-slim
COPY --from=build /source/dist/*.whl /tmp/
RUN pip install --no-cache-dir "$(ls /tmp/*.whl)[cpu]" && rm /tmp/*.whl \
    && useradd --create-home ich
USER ich
WORKDIR /work
ENTRYPOINT ["ich-tf"]
CMD ["--help"]
