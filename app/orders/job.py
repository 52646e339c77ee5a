"""From an order to the job that is asked for, whichever route it came by."""

from app.auth import Caller
from app.links import Links
from app.orders.policy import Policy
from app.orders.resolve import Order
from app.settings import ApiSettings
from app.telemetry.tracing import current_traceparent
from workers.jobs.job import NewJob, Webhook


def policy_for(caller: Caller, settings: ApiSettings) -> Policy:
    """What this caller may ask of this service."""
    most_images = settings.quotas.most_at_once
    return Policy(caller.priority, settings.webhooks_to_private, most_images)


def new_job(order: Order, caller: Caller, links: Links) -> NewJob:
    """The job, for the ledger."""
    return NewJob(
        owner=caller.owner,
        priority=order.priority,
        parameters=order.parameters,
        deadline_s=order.deadline_s,
        webhook=None if order.webhook is None else Webhook(url=order.webhook, base=links.base),
        traceparent=current_traceparent(),
    )
