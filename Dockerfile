# Predicts and reproduces on the CPU:
#   docker build -t ich_tf .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" ich_tf predict scan.nii.gz --out OUT
FROM python:3.13-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel

FROM python:3.13-slim
COPY --from=build /source/dist/*.whl /tmp/
RUN set -- /tmp/*.whl && pip install --no-cache-dir "$1[cpu]" && rm "$1"
# Any user may run it: results belong to whoever owns the mounted folder.
ENV HOME=/tmp
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["ich-tf"]
CMD ["--help"]
