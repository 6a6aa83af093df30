// What all clients are asked.

const properties = { city: { type: "string" }, model: { type: "string" } };
export const PARAMETERS = { type: "object", properties, required: ["city", "model"], additionalProperties: false };
export const NAMED = { name: "get_weather", description: "The weather" };
export const FUNCTION = { ...NAMED, parameters: PARAMETERS, strict: true };
export const HELLO = [{ role: "user", content: "hello" }];
