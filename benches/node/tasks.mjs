// The task, API by API, as in tasks.py.

const ALIAS = "our-model";

function bill(usage, details, key) {
  if (usage === null || typeof usage !== "object") return;
  // A delete would turn a small object into a slow one where nothing is to be deleted.
  if ("cost" in usage) delete usage.cost;
  if ("cost_details" in usage) delete usage.cost_details;
  if ("is_byok" in usage) delete usage.is_byok;
  const inner = details === null ? usage : usage[details];
  if (inner !== null && typeof inner === "object" && !(key in inner)) inner[key] = 0;
}

function editCost(event) {
  bill(event.usage ?? null, "prompt_tokens_details", "cached_tokens");
}

export const TASKS = {
  chat(event) {
    event.model = ALIAS;
    editCost(event);
    if (event.choices === undefined) event.choices = [];
    for (const choice of event.choices ?? []) {
      if (choice.delta?.role === null) delete choice.delta.role;
    }
  },
  messages(event) {
    const { message, usage } = event;
    if (message) {
      message.model = ALIAS;
      if (message.usage && !("cache_read_input_tokens" in message.usage)) message.usage.cache_read_input_tokens = 0;
    }
    if (usage) {
      delete usage.cost;
      delete usage.cost_details;
      delete usage.is_byok;
    }
  },
  responses(event) {
    const { response } = event;
    if (response) {
      response.model = ALIAS;
      bill(response.usage ?? null, "input_tokens_details", "cached_tokens");
    }
  },
  gemini(event) {
    event.modelVersion = ALIAS;
    bill(event.usageMetadata ?? null, null, "cachedContentTokenCount");
  },
  "nothing matches": editCost,
};
