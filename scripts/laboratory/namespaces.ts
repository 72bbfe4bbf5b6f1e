import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

/**
 * Members in network namespaces of their own, each joined by a pair of virtual links to a bridge, which is in a namespace
 * of its own, too: nothing of the machine's own network is touched. Needs root, iproute2, and for loss nftables or iptables.
 */

export interface LinkShape {
  /** Mbit/s of each member's link, either way. */
  rate: number
  /** Milliseconds from a member to the bridge, and again from the bridge to a member. */
  delay: number
  /** Part of the packets that a member never receives. */
  loss: number
}

const PREFIX = 'secagg-lab-'
const FOLDER = '/run/netns'
/** Long packets that a virtual link passes on in one piece have up to this size: a bucket must hold one. */
const LONGEST_PACKET = 65_536
/** Bytes that may wait before a link, as the time it takes to send them. */
const QUEUE_MS = 50
const MTU = 1_500

/** Why namespaces are not to be had here. */
export class NoNamespaces extends Error {}

export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Whether it went well; what does not exist on this machine does not. */
function succeeds(program: string, ...args: string[]): boolean {
  try {
    run(program, ...args)
    return true
  } catch {
    return false
  }
}

/** Removes the namespaces of laboratories whose process is gone, which could not clean up; all of them with `everything`. */
export function removeLeftovers(everything = false): number {
  const isLeft = (name: string): boolean => {
    const [, owner] = /^secagg-lab-(\d+)-/.exec(name) ?? []
    return owner !== undefined && (everything || !isAlive(Number(owner)))
  }
  const left = namespaces().filter(isLeft)
  for (const name of left) succeeds('ip', 'netns', 'del', name)
  return left.length
}

function namespaces(): string[] {
  try {
    return readdirSync(FOLDER)
  } catch {
    return []
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Namespaces of this process, each with a name within it: gone when the process ends, short of SIGKILL. */
export class OwnNamespaces {
  readonly #names: string[] = []

  /** Throws NoNamespaces where this machine or user may not have any. */
  constructor() {
    if (process.platform !== 'linux') throw new NoNamespaces('network namespaces are a thing of Linux')
    if (process.getuid?.() !== 0)
      throw new NoNamespaces('only root may make network namespaces; run it again with sudo')
    removeLeftovers()
    // However this process ends, short of SIGKILL; after that the next laboratory cleans up.
    process.on('exit', this.#onExit)
  }

  /** What starts a program inside of a namespace. */
  within(place: string | number): string[] {
    return ['ip', 'netns', 'exec', this.name(place)]
  }

  /** The links go with the namespaces that they are in. */
  remove(): void {
    process.off('exit', this.#onExit)
    for (const name of this.#names.splice(0)) succeeds('ip', 'netns', 'del', name)
  }

  protected name(place: string | number): string {
    return `${PREFIX}${process.pid}-${place}`
  }

  protected add(place: string | number): string {
    const name = this.name(place)
    this.#names.push(name)
    run('ip', 'netns', 'add', name)
    run('ip', '-n', name, 'link', 'set', 'lo', 'up')
    return name
  }

  /** A namespace with a bridge in it, to which links of others are joined. */
  protected addBridge(place: string): string {
    const name = this.add(place)
    run('ip', '-n', name, 'link', 'add', 'bridge', 'type', 'bridge')
    run('ip', '-n', name, 'link', 'set', 'bridge', 'up')
    return name
  }

  /** A link from a namespace to a bridge, under these names at either end. */
  protected plug(name: string, device: string, address: string, hub: string, port: string): void {
    run('ip', '-n', name, 'link', 'add', device, 'type', 'veth', 'peer', 'name', port, 'netns', hub)
    run('ip', '-n', hub, 'link', 'set', port, 'master', 'bridge', 'up')
    run('ip', '-n', name, 'addr', 'add', address, 'dev', device)
    run('ip', '-n', name, 'link', 'set', device, 'up')
  }

  readonly #onExit = (): void => this.remove()
}

export class Namespaces extends OwnNamespaces {
  /** What could not be had of the links' shape, a sentence each. */
  readonly lacking: string[] = []

  /** Sets everything up. Throws NoNamespaces where this machine or user may not. */
  constructor(members: number, shape: LinkShape) {
    super()
    try {
      const hub = this.addBridge('hub')
      for (let member = 0; member < members; member++) this.#join(hub, member)
    } catch (error) {
      this.remove()
      throw new NoNamespaces(`network namespaces cannot be made here: ${lastLine(error)}`)
    }
    this.#shape(members, shape)
  }

  address(member: number): string {
    return `10.0.${member >> 8}.${(member & 255) + 1}`
  }

  /** Bytes that went over a member's link so far, all headers included. */
  carried(member: number): { sent: number; received: number } {
    const [link] = JSON.parse(run('ip', '-n', this.name(member), '-s', '-j', 'link', 'show', 'wire')) as [
      { stats64: { tx: { bytes: number }; rx: { bytes: number } } }
    ]
    return { sent: link.stats64.tx.bytes, received: link.stats64.rx.bytes }
  }

  #join(hub: string, member: number): void {
    this.plug(this.add(member), 'wire', `${this.address(member)}/16`, hub, `port-${member}`)
  }

  /** Both ends of each link send at its rate: a member's own end what it sends, the bridge's end what it receives. */
  #shape(members: number, { rate, delay, loss }: LinkShape): void {
    const ends = Array.from({ length: members }, (_, member) => [
      { namespace: this.name(member), device: 'wire' },
      { namespace: this.name('hub'), device: `port-${member}` }
    ]).flat()
    const burst = Math.max(2 * LONGEST_PACKET, Math.ceil((rate * 1e6) / 8 / 250))
    for (const { namespace, device } of ends) {
      const bucket = ['tbf', 'rate', `${rate}mbit`, 'burst', `${burst}`, 'latency', `${QUEUE_MS}ms`]
      run('tc', '-n', namespace, 'qdisc', 'add', 'dev', device, 'root', 'handle', '1:', ...bucket)
    }
    if (delay > 0) this.#delay(ends, delay, rate)
    if (loss > 0) this.#lose(members, loss)
  }

  #delay(ends: Array<{ namespace: string; device: string }>, ms: number, rate: number): void {
    // All that is on its way at once, twice over.
    const limit = Math.ceil((2 * rate * 1e6 * (ms + QUEUE_MS)) / 1000 / 8 / MTU) + 1_000
    const late = ({ namespace, device }: (typeof ends)[number]): boolean => {
      const netem = ['netem', 'delay', `${ms}ms`, 'limit', `${limit}`]
      return succeeds('tc', '-n', namespace, 'qdisc', 'add', 'dev', device, 'parent', '1:1', ...netem)
    }
    if (!ends.every(late))
      this.lacking.push('this kernel has no netem (sch_netem), so the links have no delay beyond their rate')
  }

  #lose(members: number, part: number): void {
    const inside = (member: number, ...command: string[]): boolean =>
      succeeds(this.within(member)[0], ...this.within(member).slice(1), ...command)
    const byNft = (member: number): boolean =>
      inside(member, 'nft', 'add table inet lab') &&
      inside(member, 'nft', 'add chain inet lab arriving { type filter hook input priority 0; }') &&
      inside(
        member,
        'nft',
        `add rule inet lab arriving iifname wire numgen random mod 100000 < ${Math.round(part * 1e5)} drop`
      )
    const byIptables = (member: number): boolean => {
      const statistic = ['-m', 'statistic', '--mode', 'random', '--probability', part.toFixed(6)]
      return inside(member, 'iptables', '-A', 'INPUT', '-i', 'wire', ...statistic, '-j', 'DROP')
    }
    for (let member = 0; member < members; member++) {
      // What is lost is to be a packet as a wire carries it, not forty of them in one piece.
      for (const [namespace, device] of [
        [this.name(member), 'wire'],
        [this.name('hub'), `port-${member}`]
      ])
        succeeds('ip', '-n', namespace, 'link', 'set', device, 'gso_max_segs', '1')
      if (byNft(member) || byIptables(member)) continue
      this.lacking.push(
        'neither nft nor iptables is at hand to lose packets (apt-get install nftables), so none is lost'
      )
      return
    }
  }
}

export function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  return (stderr ?? '').trim().split('\n').at(-1) || message.split('\n')[0]
}
