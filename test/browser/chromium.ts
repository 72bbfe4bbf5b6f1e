import { constants } from 'node:fs'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
// Drives a browser that is installed anyway; brings none along.
import puppeteer from 'puppeteer-core'
import type { Browser } from 'puppeteer-core'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
const profiles = new WeakMap<Browser, string>()

/** The file of a Chromium: CHROMIUM_PATH, or the first of the usual names on the PATH; undefined where there is none. */
export async function findChromium(): Promise<string | undefined> {
  const named = process.env.CHROMIUM_PATH
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  const usual = folders.flatMap((folder) => names.map((name) => join(folder, name)))
  const mac = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
  for (const file of named === undefined ? [...usual, mac] : [named]) {
    if (await isProgram(file)) return file
  }
  return undefined
}

function isProgram(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false
  )
}

/** For a `before`: a running headless browser, or a skipped suite that says why. Close it with `closeChromium`. */
export async function openChromium(suite: Mocha.Context): Promise<Browser> {
  const file = await findChromium()
  if (file === undefined) {
    process.stderr.write('    skipped: no Chromium here; install one or set CHROMIUM_PATH\n')
    suite.skip()
  }
  const profile = await mkdtemp(join(tmpdir(), 'secagg-chromium-'))
  // Containers seldom allow the sandbox, and give /dev/shm too little room.
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--font-render-hinting=none']
  const browser = await puppeteer.launch({ executablePath: file, headless: true, userDataDir: profile, args })
  profiles.set(browser, profile)
  return browser
}

/** Ends the browser and removes its profile. For an `after`: takes undefined where the suite was skipped. */
export async function closeChromium(browser: Browser | undefined): Promise<void> {
  if (browser === undefined) return
  await browser.close()
  await rm(profiles.get(browser)!, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
}
