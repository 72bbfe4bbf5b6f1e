// A poll without a ballot box: five people answer three questions by yes (1) or no (0), and each of them learns how many
// said yes, but no answer of anybody else. Each would run one node on a device of its own; here they share a process.
import { startMembers } from './members.ts'

const questions = ['Shall the library open on Sundays?', 'Shall the square be closed to cars?', 'A new playground?']
const answers = {
  Ada: [1, 0, 1],
  Ben: [1, 1, 1],
  Cleo: [0, 1, 1],
  Dan: [1, 0, 0],
  Eve: [1, 1, 0]
}

const { task, members, stop } = await startMembers(Object.keys(answers).length, {
  name: 'town-poll',
  length: questions.length,
  encoding: { type: 'integer', min: 0, max: 1 },
  threat: { corrupt: 0.2, dropout: 0 } // safe against any one of the five
})

// Whoever votes first asks for the round, and everybody gets the same counts. An answer of 2 would be refused right here.
const [counts] = await Promise.all(
  Object.values(answers).map((answer, member) => members[member].contribute(task.id, answer))
)
for (const [index, question] of questions.entries())
  console.log(`${question} ${counts.values[index]} of ${counts.included.length} say yes`)

await stop()
