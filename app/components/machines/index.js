// What the machine board looks like: machines, in them their engines, in those workers with their slots, and models.
const METER = (label, value, text, aria) => `
  <div class="meter" role="meter" :aria-label="${label}" aria-valuemin="0" aria-valuemax="100" :aria-valuenow="Math.round(100 * (${value}))" :aria-valuetext="${aria ?? text}">
    <span class="meter-name">{{ ${label} }}</span><span class="meter-bar"><i :class="{ high: ${value} > 0.9 }" :style="{ width: 100 * Math.min(1, ${value}) + '%' }"></i></span><span class="meter-text">{{ ${text} }}</span></div>`;

const HEAD = `
  <header class="machine-head">
    <div class="machine-name"><i class="icon icon-workers" aria-hidden="true"></i><h2 :title="host">{{ host }}</h2>
      <span class="faint">{{ [machine.system, machine.cpus === 1 ? labels.one_core : machine.cpus ? labels.cores.replace('{n}', number(machine.cpus)) : ''].filter(Boolean).join(' · ') }}</span></div>
    <div class="meters">
      <template v-if="machine.cpu !== null">${METER("labels.cpu", "machine.cpu / 100", "percent(machine.cpu / 100)")}</template>
      <template v-if="machine.memory[1]">${METER("labels.memory", "machine.memory[0] / machine.memory[1]", "labels.of.replace('{done}', bytes(machine.memory[0], 1024)).replace('{total}', bytes(machine.memory[1], 1024))")}</template>
      <template v-for="gpu in machine.gpus"><template v-if="gpu[3] !== null">${METER("gpu[0] || labels.gpu", "gpu[3] / 100", "percent(gpu[3] / 100)")}</template>
        <template v-if="gpu[2]">${METER("labels.gpu_memory", "gpu[1] / gpu[2]", "labels.of.replace('{done}', bytes(gpu[1], 1024)).replace('{total}', bytes(gpu[2], 1024))")}</template></template>
    </div>
  </header>`;

const WORKER = `
  <article v-for="name in names" :key="name" class="worker" :data-worker="name">
    <div class="worker-head">
      <i class="dot" :class="[health(name).kind, { live: health(name).kind === 'run' }]" aria-hidden="true"></i>
      <div class="worker-name"><h4 class="clip" :title="name">{{ called(name) }}</h4>
        <span class="worker-life faint"><span :class="'is-' + health(name).kind">{{ health(name).text }}</span> · {{ life(name) }}</span></div>
      <span v-for="label in workers[name].labels" class="chip worker-label">{{ label }}</span>
      <button v-if="workers[name].paused" type="button" class="btn" @click="act('resume', { worker: name }, name)" :disabled="pending[name]"><i class="icon icon-play small"></i>{{ labels.resume }}</button>
      <button type="button" class="btn square ghost" :aria-label="labels.actions.replace('{name}', () => name)" aria-haspopup="menu"><i class="icon icon-more"></i>
        <q-menu anchor="bottom right" self="top right" :offset="[0, 4]"><div role="menu">
          <button v-if="!workers[name].paused" type="button" role="menuitem" class="menu-item" v-close-popup @click="act('pause', { worker: name })"><i class="icon icon-pause small"></i>{{ labels.pause }}</button>
          <button v-else type="button" role="menuitem" class="menu-item" v-close-popup @click="act('resume', { worker: name })"><i class="icon icon-play small"></i>{{ labels.resume }}</button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="act('drain', { worker: name })"><i class="icon icon-clock small"></i>{{ labels.drain }}</button>
          <button v-if="!workers[name].leaving" type="button" role="menuitem" class="menu-item danger" v-close-popup @click="askRetire(name)"><i class="icon icon-stop small"></i>{{ labels.retire }}</button>
        </div></q-menu></button>
    </div>
    <p v-if="health(name).hint" class="worker-hint">{{ health(name).hint }}</p>
    <p v-if="workers[name].failing.length" class="worker-hint">{{ labels.failing.replace('{names}', () => workers[name].failing.join(', ')) }}</p>
    <ul class="slots" :aria-label="labels.slots.replace('{busy}', number(workers[name].jobs.length)).replace('{slots}', number(workers[name].slots))">
      <li v-for="id in workers[name].jobs" :key="id" class="slot busy"><a v-if="jobs[id]" :href="'/jobs/' + encodeURIComponent(id)"><b class="clip">{{ title(id) }}</b><span class="clip" :title="doing(id)">{{ doing(id) }}</span><i></i></a></li>
      <li v-if="idle(name)" class="slot free"><span aria-hidden="true"><i v-for="n in Math.min(8, idle(name))"></i></span>{{ freeText(idle(name)) }}</li>
    </ul>
  </article>`;

const ERRANDS = `
  <div v-for="[id, errand] in errandsOf(key)" :key="id" class="errand" :class="errand.state" :role="errand.state === 'failed' ? 'alert' : 'status'">
    <template v-if="!errand.ended">
      <div class="errand-line"><b class="clip">{{ goingText(errand) }}</b><button type="button" class="btn ghost" :aria-label="labels.stop_pull.replace('{name}', () => errand.model)" @click="act('stop', { errand: id })">{{ labels.stop }}</button></div>
      <div class="progress" :class="{ endless: share(errand) === null || errand.completed >= errand.total }" role="progressbar" :aria-label="goingText(errand)" aria-valuemin="0" aria-valuemax="100"
        :aria-valuenow="share(errand) === null ? null : Math.round(100 * share(errand))"><i :style="{ width: 100 * (share(errand) ?? 0) + '%' }"></i></div>
      <span class="faint errand-text">{{ progressText(id) }}</span>
    </template>
    <div v-else class="errand-line"><i class="icon small" :class="errand.state === 'done' ? 'icon-check' : errand.state === 'failed' ? 'icon-warn' : 'icon-info'"></i><span class="grow">{{ endText(errand) }}</span>
      <button v-if="errand.state === 'failed' && errand.code !== 'unknown_model'" type="button" class="btn ghost" @click="repeat(id)">{{ labels.again }}</button>
      <button type="button" class="btn square ghost" :aria-label="labels.dismiss" @click="dismissed[id] = true"><i class="icon icon-close small"></i></button></div>
  </div>`;

const MODELS = `
  <div class="models">
    <div class="models-head"><h3>{{ labels.models }}</h3><span class="faint">{{ number(groups[key].models.length) }}<template v-if="loadedCount(groups[key])"> · {{ loadedCount(groups[key]) }}</template></span><span class="grow"></span>
      <button type="button" class="btn ghost" :disabled="groups[key].problem === 'unreachable'" :aria-label="labels.pull_here.replace('{place}', () => groups[key].backend || groups[key].workers[0])" @click="askPull(groups[key].workers[0])"><i class="icon icon-plus small"></i>{{ labels.pull }}</button></div>
    ${ERRANDS}
    <ul class="model-list">
      <li v-for="model in groups[key].models" :key="model.name" class="model" :class="{ resident: model.resident }">
        <i class="dot" :class="model.problem ? 'bad' : model.resident ? 'ok' : ''" aria-hidden="true"></i>
        <div class="model-name"><b class="clip" :title="model.name">{{ model.name }}</b><span class="faint">
          <span v-if="model.problem" class="is-bad">{{ labels.mute }} · </span>{{ about(model) }}<template v-if="about(model) && memoryText(model)"> · </template><span v-if="model.resident" class="is-ok">{{ memoryText(model) }}</span></span></div>
        <button v-if="model.resident" type="button" class="btn ghost" :disabled="busyWith(key, model)" :aria-label="labels.unload + colon + model.name" @click="doModel('unload', key, model)">{{ labels.unload }}</button>
        <button v-else type="button" class="btn ghost" :disabled="busyWith(key, model)" :aria-label="labels.load + colon + model.name" @click="doModel('load', key, model)">{{ labels.load }}</button>
        <button type="button" class="btn square ghost" :aria-label="labels.actions.replace('{name}', () => model.name)" aria-haspopup="menu"><i class="icon icon-more"></i>
          <q-menu anchor="bottom right" self="top right" :offset="[0, 4]"><div role="menu">
            <button type="button" role="menuitem" class="menu-item" v-close-popup @click="doModel('load', key, model, { keep: -1 })"><i class="icon icon-bolt small"></i>{{ labels.keep }}</button>
            <button v-if="!model.fixed" type="button" role="menuitem" class="menu-item" v-close-popup @click="doModel('pull', key, model)"><i class="icon icon-retry small"></i>{{ labels.update }}</button>
            <button v-if="!model.fixed" type="button" role="menuitem" class="menu-item danger" v-close-popup @click="askRemove(key, model)"><i class="icon icon-trash small"></i>{{ labels.remove }}</button>
          </div></q-menu></button>
      </li>
      <li v-if="!groups[key].models.length" class="faint model-none">{{ labels.no_model_yet }}</li>
    </ul>
  </div>`;

const DIALOGS = `
  <q-dialog role="alertdialog" aria-labelledby="machine-confirm" :model-value="dialog === 'confirm'" @update:model-value="dialog = ''" @hide="closed">
    <div class="dialog machine-dialog"><h2 id="machine-confirm">{{ subject.title }}</h2><p class="quiet">{{ subject.text }}</p>
      <div class="dialog-end"><button type="button" class="btn" @click="dialog = ''" autofocus>{{ labels.cancel }}</button><button type="button" class="btn danger" @click="confirmed">{{ subject.button }}</button></div></div>
  </q-dialog>
  <q-dialog role="dialog" aria-labelledby="machine-pull" :model-value="dialog === 'pull'" @update:model-value="dialog = ''" @hide="closed">
    <form class="dialog machine-dialog" @submit.prevent="pull"><h2 id="machine-pull">{{ labels.pull }}</h2>
      <p v-if="!targets.length" class="worker-hint">{{ labels.no_engine }}</p>
      <template v-else>
        <label class="control"><span class="control-name">{{ labels.pull_name }}</span><input class="field" v-model="form.name" maxlength="300" required autofocus autocomplete="off" spellcheck="false" placeholder="qwen3:8b"><span class="control-hint">{{ labels.pull_hint }}</span></label>
        <label v-if="targets.length > 1" class="control"><span class="control-name">{{ labels.pull_to }}</span><span class="select"><select class="field" v-model="form.worker"><option v-for="each in targets" :value="each.worker">{{ each.name }}</option></select><i class="icon icon-down"></i></span></label>
        <p v-if="target?.demo" class="worker-hint">{{ labels.pull_demo }}</p>
      </template>
      <div class="dialog-end"><button type="button" class="btn" @click="dialog = ''">{{ labels.cancel }}</button><button v-if="targets.length" type="submit" class="btn primary" :disabled="!form.name.trim()">{{ labels.pull_do }}</button></div></form>
  </q-dialog>
  <q-dialog role="dialog" aria-labelledby="machine-join" :model-value="dialog === 'join'" @update:model-value="dialog = ''" @hide="closed">
    <div class="dialog machine-dialog wide"><h2 id="machine-join">{{ labels.join }}</h2>
      <template v-if="subject.command"><p class="quiet">{{ labels.join_run }}</p><div class="command"><code tabindex="0">{{ subject.command }}</code><button type="button" class="btn" @click="copy(subject.command)"><i class="icon small" :class="copied ? 'icon-check' : 'icon-copy'"></i>{{ copied ? labels.copied : labels.copy }}</button></div>
        <p class="faint">{{ [labels.join_wait, labels.join_address.replace('{place}', () => subject.place)].join(lang.startsWith('zh') ? '' : ' ') }}</p></template>
      <form v-else-if="subject.place" class="join-form" @submit.prevent="act('join', { name: form.name.trim() }, 'join')"><label class="control"><span class="control-name">{{ labels.join_name }}</span><input class="field" v-model="form.name" maxlength="60" required autofocus autocomplete="off" spellcheck="false" placeholder="gpu-box"></label>
        <button type="submit" class="btn primary" :disabled="!form.name.trim() || pending.join">{{ labels.join_make }}</button></form>
      <template v-else-if="subject.example"><p class="quiet">{{ labels.join_off }}</p><div class="command"><code tabindex="0">{{ subject.example }}</code></div></template>
      <div v-if="subject.known?.length && !subject.command" class="join-known"><p class="quiet">{{ labels.join_known }}</p><ul><li v-for="name in subject.known" :key="name"><b class="clip">{{ name }}</b>
        <button type="button" class="btn ghost danger" :aria-label="(form.sure === name ? labels.join_sure : labels.join_forget) + colon + name" :disabled="pending['join ' + name]" @blur="form.sure = ''"
          @click="form.sure === name ? act('unjoin', { name }, 'join ' + name) : (form.sure = name)">{{ form.sure === name ? labels.join_sure : labels.join_forget }}</button></li></ul></div>
      <template v-if="subject.local && !subject.command"><p class="quiet">{{ labels.join_here }}</p><div class="command"><code tabindex="0">{{ subject.local }}</code><button type="button" class="btn" @click="copy(subject.local)"><i class="icon small" :class="copied ? 'icon-check' : 'icon-copy'"></i>{{ copied ? labels.copied : labels.copy }}</button></div></template>
      <div class="dialog-end"><button type="button" class="btn" @click="dialog = ''">{{ labels.close }}</button></div></div>
  </q-dialog>`;

export const template = `
  <div class="machines">
    <div v-if="!ready" class="skeletons" aria-hidden="true"><i v-for="n in 2" class="skeleton" style="height:150px"></i></div>
    <slot v-if="ready && !order.length"></slot>
    <section v-for="host in order" :key="host" class="card machine" :aria-label="host"><template v-for="machine in [machines[host]]">
      ${HEAD}
      <div v-for="key in machine.groups" :key="key" class="engine" :data-engine="key">
        <div class="engine-side"><div class="engine-head"><h3>{{ labels['engine_' + groups[key].engine] ?? groups[key].engine }}</h3><span class="faint clip">{{ groups[key].engine === 'demo' ? labels.demo_note : [groups[key].version, groups[key].backend].filter(Boolean).join(' · ') }}</span></div>
          <template v-for="names in [groups[key].workers]">${WORKER}</template></div>
        ${MODELS}
      </div>
      <div v-if="machine.guests.length" class="engine"><div class="engine-side"><template v-for="names in [machine.guests]">${WORKER}</template></div></div>
    </template></section>
    <section v-if="departed.length" class="machine-gone" :aria-label="labels.gone"><div class="section-head"><h2>{{ labels.gone }}</h2></div>
      <ul><li v-for="[name, each] in departed" :key="name"><i class="dot" :class="each.reason === 'lost' ? 'bad' : ''" aria-hidden="true"></i><b class="clip">{{ name }}</b><span class="quiet">{{ labels['gone_' + each.reason] ?? '' }}</span><span class="faint">{{ labels.gone_since.replace('{time}', time(each.at)) }}</span></li></ul></section>
    ${DIALOGS}
  </div>`;
