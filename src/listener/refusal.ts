/** Refusals of the listener itself, as responses. */
import { BodyError } from "./request_body.ts";
import type { HeadRefusal } from "./request_head.ts";

/** Gets how to refuse a request whose handler threw `error`. */
export function refusalOf(error: unknown): HeadRefusal {
  return error instanceof BodyError
    ? { status: error.status, message: error.message }
    : { status: 500, message: "The request failed" };
}

/** Gets a refusal as a response: one line of text. */
export function textResponse({ status, message }: HeadRefusal): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8" },
  });
}
