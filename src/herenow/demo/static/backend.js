/** The backend refused; the message is its sentence. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export function session() {
  return get("/session");
}

export async function get(path) {
  return (await answered(fetch(path))).json();
}

export async function post(path, content = {}) {
  await answered(
    fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
    }),
  );
}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused(0, "The chat does not answer. Try again.");
  }
  if (!response.ok) throw new Refused(response.status, await response.text());
  return response;
}
