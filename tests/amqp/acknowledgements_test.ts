import assert from "node:assert/strict";
import { Acknowledgements } from "../../src/amqp/acknowledgements.ts";
import type { ConsumeMessage } from "../../src/amqp/connect.ts";
import { eventually } from "../../tools/eventually.ts";

Deno.test("Acknowledgements takes a hundred messages together, or what came in a moment", async () => {
  const upTo: number[] = [];
  const acknowledgements = new Acknowledgements(({ fields }) =>
    void upTo.push(fields.deliveryTag)
  );
  const add = (deliveryTag: number): void =>
    acknowledgements.add({ fields: { deliveryTag } } as ConsumeMessage);
  for (let tag = 1; tag <= 201; tag++) add(tag);
  assert.deepEqual(upTo, [100, 200]);
  await eventually(() => upTo.length === 3, "the rest");
  acknowledgements.flush();
  assert.deepEqual(upTo, [100, 200, 201]);
  add(202);
  acknowledgements.flush();
  acknowledgements.stop();
  assert.deepEqual(upTo, [100, 200, 201, 202]);
});
