import { useEffect, useState } from 'preact/hooks'
import { html } from './html.js'

const key = 'secagg.theme'
const themes = ['system', 'light', 'dark']

function stored() {
  const theme = localStorage.getItem(key)
  return themes.includes(theme) ? theme : 'system'
}

function apply(theme) {
  document.documentElement.dataset.theme = theme
  localStorage.setItem(key, theme)
  dispatchEvent(new Event('themechange'))
}

apply(stored())

/** As the system has it, light, or dark. */
export function ThemeChoice() {
  const [theme, setTheme] = useState(stored)
  useEffect(() => apply(theme), [theme])
  return html`<fieldset class="themes">
    <legend class="unseen">Colours</legend>
    ${themes.map(
      (name) =>
        html`<label>
          <input type="radio" name="theme" value=${name} checked=${theme === name} onChange=${() => setTheme(name)} />
          <span>${name}</span>
        </label>`
    )}
  </fieldset>`
}

/** Calls back whenever the colours change; returns what ends that. */
export function onThemeChange(listener) {
  const system = matchMedia('(prefers-color-scheme: dark)')
  system.addEventListener('change', listener)
  addEventListener('themechange', listener)
  return () => {
    system.removeEventListener('change', listener)
    removeEventListener('themechange', listener)
  }
}
