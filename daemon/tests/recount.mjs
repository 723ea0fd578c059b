// Counts the tokens in transcripts, on its own: what the daemon makes of them must be the same.
//
//   node recount.mjs FILE…      (.jsonl, or .jsonl.gz)
//
// Prints one JSON object: session -> model -> [input, output, cache read, cache write].
import { readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { gunzipSync } from 'node:zlib'

const messages = new Map()

for (const file of process.argv.slice(2)) {
  let bytes = readFileSync(file)
  if (file.endsWith('.gz')) bytes = gunzipSync(bytes)
  // A subagent's file lies at <session>/subagents/agent-<id>.jsonl.
  const sub = basename(dirname(file)) === 'subagents'
  const fileSession = sub ? basename(dirname(dirname(file))) : basename(file).replace(/\.jsonl(\.gz)?$/, '')
  for (const text of bytes.toString('utf8').split('\n')) {
    let line
    try {
      line = JSON.parse(text)
    } catch {
      continue
    }
    const message = line?.type === 'assistant' ? line.message : undefined
    if (!message?.id || !message.usage || message.model === '<synthetic>') continue
    const u = message.usage
    const kinds = [
      u.input_tokens ?? 0,
      u.output_tokens ?? 0,
      u.cache_read_input_tokens ?? 0,
      u.cache_creation_input_tokens ?? 0,
    ]
    const owner = line.requestSessionId ?? line.sessionId ?? fileSession
    const known = messages.get(message.id)
    if (!known) {
      messages.set(message.id, { owner, model: message.model, kinds })
    } else if (kinds[1] >= known.kinds[1] && kinds.some((n) => n > 0)) {
      messages.set(message.id, { owner: known.owner, model: message.model, kinds })
    }
  }
}

const totals = {}
for (const { owner, model, kinds } of messages.values()) {
  const sums = ((totals[owner] ??= {})[model] ??= [0, 0, 0, 0])
  kinds.forEach((n, i) => (sums[i] += n))
}
console.log(JSON.stringify(totals))
