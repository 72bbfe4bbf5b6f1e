import { lastLine, NoNamespaces, OwnNamespaces, run } from './namespaces.ts'

/**
 * Addresses that libp2p takes for public ones: it punches no holes to any others. No packet to them leaves the namespaces,
 * which have no way out.
 */
const PUBLIC = '11.0.0'

/** A router as people have at home: it lets everything out under its own address, and in what is an answer. */
const rules = [
  'add table ip nat',
  'add chain ip nat outgoing { type nat hook postrouting priority 100; }',
  'add rule ip nat outgoing oifname wan masquerade',
  'add table ip guard',
  'add chain ip guard to-me { type filter hook input priority 0; }',
  'add rule ip guard to-me iifname wan ct state new drop',
  'add chain ip guard through { type filter hook forward priority 0; }',
  'add rule ip guard through iifname wan ct state new drop'
]

/** A host on a public network, and others each behind a router of its own. Needs root, iproute2 and nftables. */
export class Routers extends OwnNamespaces {
  /** Throws NoNamespaces where this machine or user may not. */
  constructor(homes: number) {
    super()
    try {
      const street = this.addBridge('street')
      this.plug(this.add('public'), 'wan', `${this.publicAddress}/24`, street, 'public')
      for (let home = 0; home < homes; home++) this.#build(home, street)
    } catch (error) {
      this.remove()
      throw new NoNamespaces(`routers cannot be made here: ${lastLine(error)}`)
    }
  }

  /** Of the host that is behind no router, in the namespace `public`. */
  get publicAddress(): string {
    return `${PUBLIC}.1`
  }

  /** Whether the host of one home has a TCP connection to the router of another. */
  isConnected(from: number, to: number): boolean {
    const [program, ...before] = this.within(`home-${from}`)
    const connections = run(program, ...before, 'ss', '-Htn', 'state', 'established', 'dst', this.#address(to))
    return connections.trim() !== ''
  }

  #address(home: number): string {
    return `${PUBLIC}.${home + 2}`
  }

  #build(home: number, street: string): void {
    const [host, router] = [this.add(`home-${home}`), this.add(`router-${home}`)]
    const inside = `192.168.${home}`
    this.plug(router, 'wan', `${this.#address(home)}/24`, street, `router-${home}`)
    run('ip', '-n', host, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'lan', 'netns', router)
    for (const [name, number] of [
      [router, 1],
      [host, 2]
    ] as const) {
      run('ip', '-n', name, 'addr', 'add', `${inside}.${number}/24`, 'dev', 'lan')
      run('ip', '-n', name, 'link', 'set', 'lan', 'up')
    }
    run('ip', '-n', host, 'route', 'add', 'default', 'via', `${inside}.1`)
    const [program, ...before] = this.within(`router-${home}`)
    run(program, ...before, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
    for (const rule of rules) run(program, ...before, 'nft', rule)
  }
}
