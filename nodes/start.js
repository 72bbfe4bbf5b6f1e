#!/usr/bin/env node
// Plain JavaScript without dependencies, so that it can speak even on a Node that is too old for all the rest.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath, pathToFileURL, URL } from 'node:url'
import v8 from 'node:v8'

const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))

function isTooOld(version) {
  const [major, minor] = version.split('.').map(Number)
  return major < 22 || (major === 22 && minor < 13)
}

/** Runs this file again with the Node that a checkout brings along. */
function startAgain() {
  const child = spawn(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
  // An interrupt from a terminal reaches the whole group: the child ends itself, and this process with it.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
  })
}

/** What was packed, in a checkout the sources, or for its tests a bundle of them. */
function program() {
  const isCheckout = existsSync(new URL('../test/bundle.ts', import.meta.url))
  if (isCheckout && process.env.SECAGG_BUNDLE !== undefined) return pathToFileURL(process.env.SECAGG_BUNDLE).href
  const packed = new URL('../dist/nodes/cli.js', import.meta.url)
  return existsSync(packed) ? packed.href : new URL('cli.ts', import.meta.url).href
}

async function start() {
  // Otherwise V8 13 looks through the whole heap after every 64 MB that went over the network, however little is alive.
  if (process.versions.v8.startsWith('13.')) v8.setFlagsFromString('--external-memory-accounted-in-global-limit')
  // Halves the time that each process takes to load; Node keeps the cache in the system's temporary folder.
  module.enableCompileCache()
  const { main } = await import(program())
  process.exit(await main(process.argv.slice(2)))
}

if (!isTooOld(process.versions.node)) await start()
else if (existsSync(pinned)) startAgain()
else {
  console.error(`secagg: Node ${process.versions.node} is too old; install Node 22.13 or later`)
  process.exitCode = 1
}
