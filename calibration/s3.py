"""Objects in S3-compatible storage, read as streams.

The environment says where and who, as it does for every S3 program: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
AWS_ENDPOINT_URL; AWS_USE_SSL=0 and AWS_S3_ADDRESSING_STYLE=path help with storage of one's own.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from runtime.errors import UsageError

#: What storage answers, and what that means for the one who asked.
_MEANING = {
    "NoSuchBucket": "there is no bucket {bucket}",
    "NoSuchKey": "bucket {bucket} has no object {key}",
    "404": "bucket {bucket} has no object {key}",
    "AccessDenied": "access to {bucket}/{key} is denied to AWS_ACCESS_KEY_ID",
    "403": "access to {bucket}/{key} is denied to AWS_ACCESS_KEY_ID",
    "InvalidAccessKeyId": "the storage does not know AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID",
}


def reader(url: str) -> BinaryIO:
    """An object as a file that is read once from beginning to end."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as why:
        raise UsageError(f"s3:// needs boto3: pip install 'splitport[export]' ({why})") from why
    parts = urlsplit(url)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    style = os.environ.get("AWS_S3_ADDRESSING_STYLE", "auto")
    settings: dict[str, Any] = {"use_ssl": os.environ.get("AWS_USE_SSL", "1").lower() not in ("0", "false", "no")}
    # An endpoint without a scheme gets it from AWS_USE_SSL; botocore would refuse it.
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and "://" not in endpoint:
        settings["endpoint_url"] = f"http{'s' if settings['use_ssl'] else ''}://{endpoint}"
    config = Config(s3={"addressing_style": style}, retries={"max_attempts": 3}, connect_timeout=10)
    try:
        client = boto3.session.Session().client(
            "s3", config=config, region_name=os.environ.get("AWS_REGION", "us-east-1"), **settings
        )
        return cast(BinaryIO, client.get_object(Bucket=bucket, Key=key)["Body"])
    except ClientError as why:
        error = why.response.get("Error", {})
        code = str(error.get("Code"))
        meaning = _MEANING.get(code, f"the storage answers {code}: {error.get('Message')}")
        raise UsageError(f"{url}: {meaning.format(bucket=bucket, key=key)}") from why
    except (BotoCoreError, ValueError) as why:
        raise UsageError(f"{url}: {why}; AWS_ENDPOINT_URL and the AWS_* keys say where and who") from why
