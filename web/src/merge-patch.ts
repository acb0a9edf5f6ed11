// JSON Merge Patch (RFC 7396): how a state channel says what changed.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** The target with the patch applied; neither of them is changed. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  // Without a prototype, a member called __proto__ is a member like any other.
  const result: { [name: string]: Json } = Object.create(null);
  if (isObject(target)) Object.assign(result, target);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
