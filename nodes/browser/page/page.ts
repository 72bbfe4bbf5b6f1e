// Small enough to read, and no build step beyond the bundle: htm writes preact's elements as templates.
import { html, render } from 'htm/preact'
import { useEffect, useReducer, useState } from 'preact/hooks'
import { parse } from 'yaml'
import { BrowserMember, pageIdentity } from '../index.ts'
import type { MemberEvent, Sum, TaskInput } from '../index.ts'
import { Rounds, shown } from './rounds.ts'

const remembered = { task: 'secagg/page/task', bootstrap: 'secagg/page/bootstrap', local: 'secagg/page/local' }

function value(form: HTMLFormElement, name: string): string {
  const entry = new FormData(form).get(name)
  return typeof entry === 'string' ? entry.trim() : ''
}

const lines = (text: string): string[] => text.split(/\s+/).filter((line) => line !== '')

/** Says what went wrong in the words of the error, which are for people. */
function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The whole page: who this is, how to join, what to contribute, and what becomes of it. */
function Page() {
  const [id, setId] = useState('')
  const [member, setMember] = useState<BrowserMember>()
  const [rows, tell] = useReducer(shown, [])
  const [connected, setConnected] = useState(0)
  const [status, setStatus] = useState('')
  useEffect(() => void pageIdentity().then(setId, (error) => setStatus(sentence(error))), [])

  const onEvent = (event: MemberEvent): void => {
    if (event.type === 'connected') setConnected(event.members.length)
    else if (event.type === 'evidence')
      setStatus(`${event.culprit} broke the protocol in round ${event.round} (${event.kind}).`)
    else if (event.type !== 'refused') tell(event)
  }
  const join = async (form: HTMLFormElement): Promise<void> => {
    const [task, bootstrap] = [value(form, 'task'), value(form, 'bootstrap')]
    const local = value(form, 'local') === 'on'
    localStorage.setItem(remembered.task, task)
    localStorage.setItem(remembered.bootstrap, bootstrap)
    localStorage.setItem(remembered.local, String(local))
    setStatus('Joining…')
    setMember(
      await BrowserMember.start({ task: parse(task) as TaskInput, bootstrap: lines(bootstrap), local, onEvent })
    )
    setStatus('Joined. Keep this page open: a member that is closed drops out of the round.')
  }
  const submit = (work: (form: HTMLFormElement) => Promise<void>) => (event: SubmitEvent) => {
    event.preventDefault()
    work(event.target as HTMLFormElement).catch((error: unknown) => setStatus(sentence(error)))
  }

  return html`
    <h1>A member in a page</h1>
    <p>
      Your numbers are masked here before they leave, and only the sum of all members is ever seen. This page is${' '}
      <code id="id">${id || '…'}</code>, which the task has to name among its members.
    </p>
    ${
      member === undefined
        ? html`<${Join} onSubmit=${submit(join)} disabled=${id === ''} />`
        : html`<${Contribute} member=${member} connected=${connected} onSubmit=${submit} setStatus=${setStatus} />`
    }
    <p id="status" role="status">${status}</p>
    ${rows.length > 0 && html`<${Rounds} rows=${rows} members=${member?.task.members.length ?? 0} />`}
  `
}

function Join({ onSubmit, disabled }: { onSubmit: (event: SubmitEvent) => void; disabled: boolean }) {
  const last = (key: keyof typeof remembered): string => localStorage.getItem(remembered[key]) ?? ''
  return html`
    <form onSubmit=${onSubmit}>
      <label for="task">Task, as its file says it</label>
      <textarea id="task" name="task" rows="12" required spellcheck="false">${last('task')}</textarea>
      <label for="bootstrap">Addresses of daemons, one a line</label>
      <textarea
        id="bootstrap"
        name="bootstrap"
        rows="2"
        required
        spellcheck="false"
        placeholder="/dns4/node.example/tcp/443/tls/ws/p2p/12D3…"
      >
${last('bootstrap')}</textarea>
      <label class="check">
        <input type="checkbox" name="local" defaultChecked=${last('local') === 'true'} />
        They are on this machine or a local network, without TLS
      </label>
      <button disabled=${disabled}>Join</button>
    </form>
  `
}

interface ContributeProps {
  member: BrowserMember
  connected: number
  onSubmit: (work: (form: HTMLFormElement) => Promise<void>) => (event: SubmitEvent) => void
  setStatus: (text: string) => void
}

function Contribute({ member, connected, onSubmit, setStatus }: ContributeProps) {
  const { length, members, name } = member.task
  const [sum, setSum] = useState<Sum>()
  const contribute = async (form: HTMLFormElement): Promise<void> => {
    const numbers = value(form, 'values').split(/[\s,;]+/)
    setStatus('Waiting for the round…')
    const found = await member.contribute(numbers.map(Number))
    setSum(found)
    setStatus(`Round ${found.round} was summed over ${found.included.length} members, you among them.`)
  }
  return html`
    <p>Task <b>${name}</b>: ${connected} of ${members.length - 1} other members are connected.</p>
    <form onSubmit=${onSubmit(contribute)}>
      <label for="values">Your ${length} ${length === 1 ? 'number' : 'numbers'}, with spaces or commas between</label>
      <textarea id="values" name="values" rows="3" required></textarea>
      <button>Contribute to the next round</button>
    </form>
    ${
      sum !== undefined &&
      html`<h2>Sum of round ${sum.round}</h2>
        <output id="sum"
          >${Array.from(sum.values as ArrayLike<number>)
            .slice(0, 100)
            .join(' ')}${length > 100 ? ' …' : ''}</output
        >`
    }
  `
}

const place = document.getElementById('page')!
place.replaceChildren()
render(html`<${Page} />`, place)
