// Asks as one client, scene by scene: node run.mjs <file> <client> <url> <scenes>. A line of JSON tells what it made of
// each answer; then it lives on until its stdin ends.

const [file, client, url, scenes] = process.argv.slice(2);
const ask = (await import(`./${file}.mjs`))[client](url);

for (const scene of JSON.parse(scenes)) {
  const told = { pieces: [], text: "", thoughts: "", tools: [], model: null, usage: null, error: null };
  try {
    await ask(scene, told);
  } catch (error) {
    if (!scene.leaves) told.error = described(error);
  }
  console.log(JSON.stringify(told));
}
process.stdin.resume();

function described(error) {
  const names = [error?.name ?? typeof error];
  for (let kind = error?.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) names.push(kind.name);
  return { names, status: error?.status ?? error?.statusCode ?? null, message: error?.message ?? String(error) };
}
