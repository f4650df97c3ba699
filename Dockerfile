# docker build --tag xlstm-on-trial --build-arg COMMIT="$(git describe --always --abbrev=12 --exclude='*' --dirty=+)" .
# docker run --volume "$PWD/work:/trial" xlstm-on-trial reproduce-all --cores 8
# What is read of the sources is listed in .dockerignore. The folder on /trial has to be writable for the user 1000.
FROM python:3.11-slim

# PyTorch comes from the index that pip is set to: of PyPI that is the build for CUDA. An index of builds for the CPU, or for another
# CUDA, is named by TORCH_INDEX; a build of the same version from there goes before the other.
ARG TORCH_INDEX=""
COPY requirements.lock /app/
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement /app/requirements.lock

COPY . /app
# The image holds no git: results record this commit.
ARG COMMIT=""
RUN echo "$COMMIT" > /app/COMMIT && useradd --uid 1000 --create-home trial && mkdir /trial && chown trial /trial
USER trial
WORKDIR /trial
# Set for this command alone: what runs in this image by other means, as jobs with --sdm apptainer do, brings its own sources.
ENTRYPOINT ["env", "PYTHONPATH=/app", "TRIAL_DATA=/trial/results/data", "snakemake", "--snakefile", "/app/Snakefile"]
CMD ["reproduce-all", "--cores", "all"]
